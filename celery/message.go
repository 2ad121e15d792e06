package celery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// envelope is a message as kombu puts it on Redis: a body in some encoding, and
// beside it what AMQP carries as properties
// (https://docs.celeryq.dev/en/stable/internals/protocol.html).
type envelope struct {
	Body            string          `json:"body"`
	ContentEncoding string          `json:"content-encoding"`
	ContentType     string          `json:"content-type"`
	Headers         json.RawMessage `json:"headers"`
	Properties      properties      `json:"properties"`
}

type properties struct {
	CorrelationID string        `json:"correlation_id,omitempty"`
	DeliveryMode  int           `json:"delivery_mode"`
	DeliveryInfo  *deliveryInfo `json:"delivery_info"` // without it a worker dies of a KeyError
	Priority      int           `json:"priority"`
	BodyEncoding  string        `json:"body_encoding,omitempty"`
	DeliveryTag   string        `json:"delivery_tag,omitempty"`
}

type deliveryInfo struct {
	Exchange   string `json:"exchange"`
	RoutingKey string `json:"routing_key"`
}

// errSerializer is what a body in a format that is not read gives: pickle in
// particular could run any code.
var errSerializer = errors.New("only JSON bodies are read")

// openEnvelope gives the JSON body of a message of Redis.
func openEnvelope(message []byte) (json.RawMessage, error) {
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		return nil, fmt.Errorf("not a message of kombu: %w", err)
	}
	body := []byte(e.Body)
	if e.Properties.BodyEncoding == "base64" {
		decoded, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return nil, fmt.Errorf("the body is not base64: %w", err)
		}
		body = decoded
	}
	return checkBody(e.ContentType, body)
}

// checkBody gives a body of the content type if it is JSON.
func checkBody(contentType string, body []byte) (json.RawMessage, error) {
	if contentType != "application/json" {
		return nil, fmt.Errorf("content type %.64q: %w", contentType, errSerializer)
	}
	body = withoutNaN(body)
	if !json.Valid(body) {
		return nil, errors.New("the body is not JSON")
	}
	return body, nil
}

// withoutNaN puts null where Python's json writes NaN, Infinity or -Infinity,
// which JSON does not have. It gives JSON back as it is.
func withoutNaN(text []byte) []byte {
	if !bytes.Contains(text, []byte("NaN")) && !bytes.Contains(text, []byte("Infinity")) || json.Valid(text) {
		return text
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if text[i] == '"' {
			end := stringEnd(text, i)
			out = append(out, text[i:end]...)
			i = end
			continue
		}
		if n := notANumber(text[i:]); n > 0 {
			out = append(out, "null"...)
			i += n
			continue
		}
		out = append(out, text[i])
		i++
	}
	return out
}

// stringEnd is the index behind the JSON string that begins at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func notANumber(text []byte) int {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(text, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

// sealEnvelope makes a message of Redis around a JSON body.
func sealEnvelope(body, headers any, p properties) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(headers)
	if err != nil {
		return nil, err
	}
	p.BodyEncoding = "base64"
	return json.Marshal(envelope{
		Body: base64.StdEncoding.EncodeToString(text), ContentEncoding: "utf-8", ContentType: "application/json",
		Headers: head, Properties: p,
	})
}
