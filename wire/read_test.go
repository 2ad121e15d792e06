package wire_test

import (
	"testing"

	"tidings/wire"
)

// A client goes on understanding a server that has learned to say more.
func TestReadEventTakesFieldsOfANewerServer(t *testing.T) {
	t.Parallel()
	text := []byte(`{"id":"5-1","job_id":"j","event_type":"custom","timestamp":"2026-11-24T09:20:01Z","data":{"n":1.50},"trace":"abc"}`)
	e, err := wire.ReadEvent(text)
	if err != nil || e.ID.String() != "5-1" || e.Type != "custom" || string(e.Data) != `{"n":1.50}` {
		t.Errorf("got %+v: %v", e, err)
	}
	if _, err := wire.ParseEvent(text); err == nil {
		t.Error("a publisher's misspelt field is taken in silence")
	}
}
