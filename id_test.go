package tidings_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"tidings"
)

func TestParseID(t *testing.T) {
	for text, want := range map[string]tidings.ID{
		"0-0":              {},
		"1795512001234-0":  {Ms: 1795512001234},
		"1795512001234-17": {Ms: 1795512001234, Seq: 17},
		"1795512001234":    {Ms: 1795512001234},
		"18446744073709551615-18446744073709551615": tidings.MaxID,
	} {
		if got, err := tidings.ParseID(text); err != nil || got != want {
			t.Errorf("ParseID(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-", "1-", "-1", "1-2-3", "1--2", "+1-0", "1-+0", " 1-0", "1-0 ", "01-0", "1-00",
		"0x1-0", "1_0-0", "1.0", "1-x", "$", "١-0", "18446744073709551616-0", "0-18446744073709551616", "1-0~tag"} {
		_, err := tidings.ParseID(text)
		if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
			t.Errorf("ParseID(%q): error is %v; want an *InvalidError", text, err)
		}
	}
}

// IDs are ordered as numbers, not as text.
func TestIDOrder(t *testing.T) {
	want := []tidings.ID{{}, {Seq: 1}, {Ms: 9}, {Ms: 9, Seq: 2}, {Ms: 9, Seq: 10}, {Ms: 10}, {Ms: 10, Seq: 1}, tidings.MaxID}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	slices.SortFunc(got, tidings.ID.Compare)
	if !slices.Equal(got, want) {
		t.Errorf("sorted: %v; want %v", got, want)
	}
	for i := 1; i < len(want); i++ {
		if !want[i-1].Less(want[i]) || want[i].Less(want[i-1]) || want[i].Less(want[i]) {
			t.Errorf("Less is wrong for %v and %v", want[i-1], want[i])
		}
	}
}

// Nothing lies between an ID and its neighbours.
func TestIDNeighbours(t *testing.T) {
	top := tidings.MaxID.Seq
	for id, next := range map[tidings.ID]tidings.ID{
		{}:                          {Seq: 1},
		{Ms: 5, Seq: 7}:             {Ms: 5, Seq: 8},
		{Ms: 5, Seq: top}:           {Ms: 6},
		{Ms: top, Seq: top - 1}:     tidings.MaxID,
		{Ms: top - 1, Seq: top}:     {Ms: top},
		{Ms: 1795512001234, Seq: 0}: {Ms: 1795512001234, Seq: 1},
	} {
		if got := id.Next(); got != next {
			t.Errorf("%v.Next() = %v; want %v", id, got, next)
		}
		if got := next.Prev(); got != id {
			t.Errorf("%v.Prev() = %v; want %v", next, got, id)
		}
	}
	if tidings.MaxID.Next() != tidings.MaxID || (tidings.ID{}).Prev() != (tidings.ID{}) {
		t.Error("the ends have neighbours beyond them")
	}
}

func TestIDText(t *testing.T) {
	var id tidings.ID
	if err := id.UnmarshalText([]byte("12-3")); err != nil || id != (tidings.ID{Ms: 12, Seq: 3}) {
		t.Errorf("unmarshalled to %v, %v", id, err)
	}
	if err := id.UnmarshalText([]byte("x")); err == nil || id != (tidings.ID{Ms: 12, Seq: 3}) {
		t.Errorf("a malformed text made %v, %v; want an error and the ID as it was", id, err)
	}
	if err := id.UnmarshalText(nil); err != nil || !id.IsZero() {
		t.Errorf("an empty text made %v, %v; want the zero ID", id, err)
	}
}

func TestParseCursor(t *testing.T) {
	for text, want := range map[string]tidings.Cursor{
		"":                       {},
		"0-0":                    {},
		"12-3":                   {ID: tidings.ID{Ms: 12, Seq: 3}},
		"12":                     {ID: tidings.ID{Ms: 12}},
		"12-3~k3f9":              {ID: tidings.ID{Ms: 12, Seq: 3}, Incarnation: "k3f9"},
		"12-3~0":                 {ID: tidings.ID{Ms: 12, Seq: 3}, Incarnation: "0"},
		tidings.MaxID.String():   {ID: tidings.MaxID},
		"0-0~0123456789abcdefgh": {Incarnation: "0123456789abcdefgh"},
	} {
		if got, err := tidings.ParseCursor(text); err != nil || got != want {
			t.Errorf("ParseCursor(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"~", "~tag", "12-3~", "12-3~A", "12-3~a~b", "12-3~a b", "12-3~ü", "x", "12-3~123456789012345678901234567890123"} {
		_, err := tidings.ParseCursor(text)
		if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != "cursor" {
			t.Errorf("ParseCursor(%q): error is %v; want an *InvalidError of the cursor", text, err)
		}
	}
}

// What is parsed is written again in one form that means the same.
func FuzzParseCursor(f *testing.F) {
	for _, text := range []string{"", "0-0", "12-3", "12", "12-3~k3f9", "-", "1-1~", "18446744073709551615-18446744073709551615~z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := tidings.ParseCursor(text)
		if err != nil {
			if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
				t.Fatalf("error is %v; want an *InvalidError", err)
			}
			return
		}
		again, err := tidings.ParseCursor(c.String())
		if err != nil || again != c {
			t.Fatalf("%q was read as %+v, and its form %q as %+v, %v", text, c, c, again, err)
		}
		id, err := tidings.ParseID(c.ID.String())
		if err != nil || id != c.ID {
			t.Fatalf("%v is written as %q, which reads %v, %v", c.ID, c.ID.String(), id, err)
		}
		if n := c.ID.Next(); n != tidings.MaxID && n.Prev() != c.ID {
			t.Fatalf("%v.Next().Prev() is %v", c.ID, n.Prev())
		}
	})
}
