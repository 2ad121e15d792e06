package logtest

import (
	"strings"
	"testing"

	"tidings"
)

// What a ledger says of logs that are not what was acknowledged. Each letter
// is a batch of that many events, the digit says which of them.
func TestLedger(t *testing.T) {
	for _, c := range []struct {
		name, log, complaint string
	}{
		{"as sent", "a0 b0 b1 c0", ""},
		{"unacknowledged batch is there", "a0 b0 b1 c0 u0 u1", ""},
		{"unacknowledged batch came late", "a0 u0 u1 b0 b1 c0", ""},
		{"event lost", "a0 b0 b1", "was acknowledged as [10-0] and is not there"},
		{"first lost", "b0 b1 c0", "was acknowledged as [1-0] and is not there"},
		{"batch cut", "a0 b0 c0", "is missing from its batch"},
		{"batch cut in front", "a0 b1 c0", "is there without the batch before it"},
		{"unacknowledged batch cut", "a0 b0 b1 c0 u1", "is there without the batch before it"},
		{"batch taken apart", "a0 b0 c0 b1", "lies apart from its batch"},
		{"twice", "a0 b0 b1 c0 c0", "is there twice"},
		{"nobody's", "a0 b0 b1 c0 x0", "1 events that nobody sent"},
		{"reordered", "b0 b1 a0 c0", "was sent after"},
		{"another ID", "u0 u1 a0 b0 b1 c0", "and is there as"},
	} {
		var l Ledger
		a := l.Sending("job", letters("a0"))
		a.Acked(tidings.Receipt{IDs: []tidings.ID{{Ms: 1}}})
		l.Sending("job", letters("u0 u1"))
		b := l.Sending("job", letters("b0 b1"))
		b.Acked(tidings.Receipt{Duplicate: true}) // its IDs are not known
		l.Sending("job", letters("c0")).Acked(tidings.Receipt{IDs: []tidings.ID{{Ms: 10}}})

		problems := strings.Join(l.jobs["job"].compare(placed(c.log)), "\n")
		if (problems == "") != (c.complaint == "") || !strings.Contains(problems, c.complaint) {
			t.Errorf("%s: the ledger says %q; want %q", c.name, problems, c.complaint)
		}
	}
}

func letters(names string) []tidings.Event {
	var events []tidings.Event
	for _, name := range strings.Fields(names) {
		events = append(events, event("custom", `"`+name+`"`))
	}
	return events
}

// placed gives the events of a log IDs from 1-0 on, and c0 the one it was
// acknowledged with.
func placed(log string) []tidings.Event {
	events := letters(log)
	next := tidings.ID{Ms: 1}
	for i := range events {
		events[i].ID = next
		if string(events[i].Data) == `"c0"` && next.Ms < 10 {
			events[i].ID = tidings.ID{Ms: 10}
		}
		next = tidings.ID{Ms: events[i].ID.Ms + 1}
	}
	return events
}

func TestLedgerWantsRisingIDs(t *testing.T) {
	var l Ledger
	l.Sending("job", letters("a0 b0"))
	log := letters("a0 b0")
	log[0].ID, log[1].ID = tidings.ID{Ms: 2}, tidings.ID{Ms: 2}
	if problems := l.jobs["job"].compare(log); len(problems) != 1 || !strings.Contains(problems[0], "2-0 follows 2-0") {
		t.Errorf("the ledger says %q", problems)
	}
}
