package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings"
	"tidings/wire"
)

const contentTypeJSON = "application/json"

// mediaType is the body's type without parameters. None is taken for JSON; the
// type that curl and forms send by themselves is not.
func mediaType(r *http.Request) (string, error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return "", &problem{status: http.StatusUnsupportedMediaType, name: "unsupported-media-type", title: "Unsupported content encoding",
			detail: "the body must not be compressed", header: map[string]string{"Accept-Encoding": "identity"}}
	}
	text := r.Header.Get("Content-Type")
	if text == "" {
		return contentTypeJSON, nil
	}
	name, _, err := mime.ParseMediaType(text)
	if err != nil {
		return "", unsupportedType(text, contentTypeJSON)
	}
	return name, nil
}

func unsupportedType(got string, want ...string) error {
	return &problem{status: http.StatusUnsupportedMediaType, name: "unsupported-media-type", title: "Unsupported media type",
		detail: "the body is sent as " + got + "; send it with Content-Type: " + strings.Join(want, " or "),
		header: map[string]string{"Accept-Post": strings.Join(want, ", ")}, more: map[string]any{"supported": want}}
}

// decodeBody reads a small JSON object into out. An empty body leaves out as it
// is. Unknown members are refused, so that a misspelt one is not lost in silence.
func (s *Server) decodeBody(w http.ResponseWriter, r *http.Request, out any) error {
	kind, err := mediaType(r)
	if err != nil {
		return err
	}
	if kind != contentTypeJSON {
		return unsupportedType(kind, contentTypeJSON)
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	if err := s.readBody(buf, w, r, maxSmallBody); err != nil {
		return err
	}
	text := bytes.TrimSpace(buf.Bytes())
	if len(text) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		return jsonError(err)
	}
	if rest := bytes.TrimSpace(text[dec.InputOffset():]); len(rest) > 0 {
		return &tidings.InvalidError{Field: "body", Reason: "more than one JSON value"}
	}
	return nil
}

func jsonError(err error) error {
	if e, ok := errors.AsType[*tidings.InvalidError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := e.Field
		if field == "" {
			field = "body"
		}
		return &tidings.InvalidError{Field: field, Reason: "a JSON " + e.Value + " can't stand here; see /openapi.json for the right type"}
	}
	return &tidings.InvalidError{Field: "body", Reason: strings.TrimPrefix(err.Error(), "json: ")}
}

// readBody reads the whole body into buf, which bounds itself by limit and by
// the time without progress.
func (s *Server) readBody(buf *bytes.Buffer, w http.ResponseWriter, r *http.Request, limit int64) error {
	if r.ContentLength > limit {
		return &http.MaxBytesError{Limit: limit}
	}
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	body := s.watchBody(w, http.MaxBytesReader(w, r.Body, limit), s.limits.BodyTimeout)
	defer body.done()
	_, err := buf.ReadFrom(body)
	return err
}

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func takeBuffer() *bytes.Buffer { return buffers.Get().(*bytes.Buffer) }

// giveBuffer keeps no buffer that one large request has grown.
func giveBuffer(buf *bytes.Buffer) {
	if buf.Cap() <= 1<<20 {
		buf.Reset()
		buffers.Put(buf)
	}
}

// watchedBody is a body that must make progress. Its read deadline is the
// connection's, and must be taken off again: it would end a later wait.
type watchedBody struct {
	r       io.Reader
	rec     *recorder
	control *http.ResponseController
	timeout time.Duration

	mu    sync.Mutex
	armed time.Time // when the deadline was set last
	ended error     // told instead of a deadline
}

func (s *Server) watchBody(w http.ResponseWriter, r io.Reader, timeout time.Duration) *watchedBody {
	rec, _ := w.(*recorder) // ServeHTTP made it
	return &watchedBody{r: r, rec: rec, control: http.NewResponseController(w), timeout: timeout}
}

// Read implements [io.Reader].
func (b *watchedBody) Read(p []byte) (int, error) {
	if err := b.arm(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		b.rec.bodyRead = true
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.ended != nil {
			err = b.ended
		}
		err = bodyError(err)
	}
	return n, err
}

// bodyError tells a body that is no HTTP, such as a chunk without its length,
// from one that breaks off or takes too long. The errors of net/http for it have
// no types.
func bodyError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errDraining) {
		return err
	}
	reason := "can't be read to its end (" + err.Error() + "); send it again"
	return &problem{status: http.StatusBadRequest, name: "invalid", title: "Invalid input",
		detail: "body: " + reason, more: map[string]any{"field": "body", "reason": reason}}
}

// arm moves the deadline on, not more often than needed.
func (b *watchedBody) arm() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended != nil {
		return b.ended
	}
	now := time.Now()
	if now.Sub(b.armed) < b.timeout/8 {
		return nil
	}
	b.armed = now
	if err := b.control.SetReadDeadline(now.Add(b.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// stop ends a read that waits, and every later one, with err. What was read
// before is not lost.
func (b *watchedBody) stop(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = err
	_ = b.control.SetReadDeadline(time.Unix(1, 0)) // where there are no deadlines, the next read ends
}

// done takes the deadline off.
func (b *watchedBody) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended == nil && !b.armed.IsZero() {
		_ = b.control.SetReadDeadline(time.Time{}) // as above
	}
}

// writeJSON answers with v, without the escapes that encoding/json makes for
// HTML.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return writeBytes(w, status, contentTypeJSON, out.Bytes())
}

// writeBytes answers with a body that is whole. An error of writing is the
// client's, and is told to nobody.
func writeBytes(w http.ResponseWriter, status int, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone
	return nil
}

// writePiece is how much of a long answer must be taken within one write timeout.
const writePiece = 256 << 10

// writeLong writes much, to a reader who may be slow but must not stand still.
// The deadline is the connection's, and is taken off again.
func (s *Server) writeLong(w http.ResponseWriter, p []byte) error {
	control := http.NewResponseController(w)
	defer hurry(s.drain, control.SetWriteDeadline)()
	for len(p) > 0 {
		_ = writeBy(s.drain, time.Now().Add(s.limits.WriteTimeout), control.SetWriteDeadline) // not every server has deadlines
		n, err := w.Write(p[:min(len(p), writePiece)])
		if err != nil {
			return err
		}
		p = p[n:]
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}

// accepts reports whether the request asks for the media type by name, with a
// weight above zero.
func accepts(r *http.Request, want string) bool {
	for _, line := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(line, ",") {
			name, params, err := mime.ParseMediaType(strings.TrimSpace(item))
			refused := params["q"] != "" && strings.Trim(params["q"], "0.") == ""
			if err == nil && name == want && !refused {
				return true
			}
		}
	}
	return false
}

// isNDJSON knows the names that lines of JSON go by.
func isNDJSON(mediaType string) bool {
	switch mediaType {
	case wire.ContentTypeNDJSON, "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}
