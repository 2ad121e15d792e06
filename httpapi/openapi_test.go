package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

type object = map[string]any

func openAPIDocument(t testing.TB) object {
	t.Helper()
	var doc object
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// Every route is in the document, and nothing else is.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	t.Parallel()
	doc := openAPIDocument(t)
	documented := map[string]object{}
	for path, item := range doc["paths"].(object) {
		for method, operation := range item.(object) {
			if method != "parameters" {
				documented[strings.ToUpper(method)+" "+path] = operation.(object)
			}
		}
	}
	s := New(nil, nil)
	for _, route := range s.routes() {
		name := route.method + " " + route.path
		operation, ok := documented[name]
		if !ok {
			t.Errorf("%s is not in openapi.json", name)
			continue
		}
		delete(documented, name)
		_, open := operation["security"]
		if open != (route.need == "") {
			t.Errorf("%s: security in openapi.json does not fit the permission %q", name, route.need)
		}
	}
	for name := range documented {
		t.Errorf("%s is in openapi.json, but is no route", name)
	}
}

// Every reference leads somewhere, and every name is used.
func TestOpenAPIReferences(t *testing.T) {
	t.Parallel()
	doc := openAPIDocument(t)
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`"\$ref": "#/([^"]*)"`).FindAllStringSubmatch(string(openAPI), -1) {
		used[match[1]] = true
		at := any(doc)
		for name := range strings.SplitSeq(match[1], "/") {
			at = at.(object)[name]
			if at == nil {
				t.Fatalf("#/%s leads nowhere", match[1])
			}
		}
	}
	for _, kind := range []string{"schemas", "responses", "parameters"} {
		for name := range doc["components"].(object)[kind].(object) {
			if !used["components/"+kind+"/"+name] {
				t.Errorf("components/%s/%s is not used", kind, name)
			}
		}
	}
}

// Real answers are as the document says: the status is listed, and the body has
// the members and types of its schema.
func TestAnswersFitOpenAPI(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	doc := openAPIDocument(t)
	producer := []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0"}
	for _, c := range []struct {
		method, route, path, body string
		headers                   []string
		status                    int
	}{
		{"POST", "/v1/jobs", "", `{"id":"j","name":"n","labels":{"a":"b"},"metadata":{}}`, nil, 201},
		{"POST", "/v1/jobs", "", `{"id":"j"}`, nil, 200},
		{"POST", "/v1/jobs/{id}/events", "", `{"event_type":"phase_update","data":{"phase":"p","status":"started","progress":0.5,"message":"m"}}`, nil, 201},
		{"POST", "/v1/jobs/{id}/events", "", `{"event_type":"thought","data":{"status":"completed","usage":{"input_tokens":1,"output_tokens":2}}}`, producer, 201},
		{"POST", "/v1/jobs/{id}/events", "", `{"event_type":"thought"}`, producer, 200},
		{"POST", "/v1/jobs/{id}/events", "?stream=true", `{"event_type":"task_progress","data":{"task":"t","queue":"q"}}`, []string{"Content-Type", lines}, 201},
		{"POST", "/v1/jobs/{id}/events", "", `{`, nil, 400},
		{"POST", "/v1/jobs/{id}/events", "", `{}`, []string{"Content-Type", "text/plain"}, 415},
		{"POST", "/v1/jobs/{id}/heartbeat", "", `{"ttl_ms":1000}`, nil, 200},
		{"POST", "/v1/jobs/{id}/cancel", "", `{"by":"x","reason":"y"}`, nil, 202},
		{"GET", "/v1/jobs", "", "", nil, 200},
		{"GET", "/v1/jobs", "?limit=0", "", nil, 400},
		{"GET", "/v1/jobs/{id}", "", "", nil, 200},
		{"GET", "/v1/jobs/{id}/events", "", "", nil, 200},
		{"GET", "/v1/jobs/{id}/events", "?after=1-0~zzz", "", nil, 410},
		{"GET", "/healthz", "", "", nil, 200},
		{"GET", "/readyz", "", "", nil, 200},
		{"GET", "/openapi.json", "", "", nil, 200},
		{"POST", "/v1/jobs/{id}/events", "", `{"event_type":"done"}`, nil, 201},
		{"POST", "/v1/jobs/{id}/events", "", `{"event_type":"late"}`, nil, 409},
		{"POST", "/v1/jobs/{id}/cancel", "", ``, nil, 409},
		{"GET", "/v1/jobs/{id}", "", "", nil, 200},
		{"DELETE", "/v1/jobs/{id}", "", "", nil, 204},
		{"GET", "/v1/jobs/{id}", "", "", nil, 404},
	} {
		got := a.do(c.method, strings.Replace(c.route, "{id}", "j", 1)+c.path, c.body, c.headers...)
		what := fmt.Sprintf("%s %s%s → %d", c.method, c.route, c.path, c.status)
		wantStatus(t, got, c.status)
		operation := doc["paths"].(object)[c.route].(object)[strings.ToLower(c.method)].(object)
		answer, ok := operation["responses"].(object)[fmt.Sprint(c.status)]
		if !ok {
			t.Errorf("%s: the status is not in openapi.json", what)
			continue
		}
		content, _ := resolve(doc, answer)["content"].(object)
		if content == nil {
			if got.body != "" {
				t.Errorf("%s: a body that openapi.json does not mention: %s", what, got.body)
			}
			continue
		}
		media, ok := content[got.header.Get("Content-Type")].(object)
		if !ok {
			t.Errorf("%s: Content-Type %q is not in openapi.json", what, got.header.Get("Content-Type"))
			continue
		}
		for _, fault := range faults(doc, media["schema"], any(got.members(t)), "") {
			t.Errorf("%s: %s\n%s", what, fault, got.body)
		}
	}
}

// resolve follows a reference.
func resolve(doc object, schema any) object {
	s, _ := schema.(object)
	ref, ok := s["$ref"].(string)
	if !ok {
		return s
	}
	at := any(doc)
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(object)[name]
	}
	return at.(object)
}

// faults checks what this document uses of JSON Schema: type, const, enum,
// pattern, required, properties and items. Members that the schema does not name
// are faults too, unless it names none or is one of a problem.
func faults(doc object, schema, value any, at string) (out []string) {
	s := resolve(doc, schema)
	if want := s["type"]; want != nil && !isType(want, value) {
		return []string{fmt.Sprintf("%s is no %v", at, want)}
	}
	if want, ok := s["const"]; ok && want != value {
		out = append(out, fmt.Sprintf("%s is not %v", at, want))
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		out = append(out, fmt.Sprintf("%s is none of %v", at, enum))
	}
	if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value.(string)) {
		out = append(out, fmt.Sprintf("%s does not match %s", at, pattern))
	}
	switch v := value.(type) {
	case object:
		out = append(out, memberFaults(doc, s, v, at)...)
	case []any:
		for i, item := range v {
			out = append(out, faults(doc, s["items"], item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	return out
}

func memberFaults(doc, schema, value object, at string) (out []string) {
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := value[name.(string)]; !ok {
			out = append(out, fmt.Sprintf("%s.%s is missing", at, name))
		}
	}
	properties, _ := schema["properties"].(object)
	for name, member := range value {
		property, ok := properties[name]
		if ok {
			out = append(out, faults(doc, property, member, at+"."+name)...)
		} else if len(properties) > 0 && properties["detail"] == nil {
			out = append(out, fmt.Sprintf("%s.%s is not in openapi.json", at, name))
		}
	}
	return out
}

func isType(want, value any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return isType(one, value) })
	}
	switch v := value.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == float64(int64(v))
	case object:
		return want == "object"
	case []any:
		return want == "array"
	}
	return false
}

// The checker itself finds what is wrong.
func TestSchemaCheckerFindsFaults(t *testing.T) {
	t.Parallel()
	doc := openAPIDocument(t)
	schema := object{"$ref": "#/components/schemas/Duplicate"}
	for text, want := range map[string]int{
		`{"duplicate":true,"last_id":"1-0"}`: 0, `{"duplicate":false,"last_id":"1-0"}`: 1, `{"last_id":"1-0"}`: 1,
		`{"duplicate":true,"last_id":"1"}`: 1, `{"duplicate":true,"last_id":5}`: 1, `{"duplicate":true,"last_id":"1-0","x":1}`: 1, `[]`: 1,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		if got := faults(doc, schema, value, ""); len(got) != want {
			t.Errorf("%s: %v, want %d", text, got, want)
		}
	}
}

var _ http.Handler = (*Server)(nil)
