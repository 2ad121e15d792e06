package logtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"tidings"
)

// What events carry: any JSON as it was written, and times to the microsecond.
var dataCases = []testCase{
	{name: "data/odd-json", run: dataOddJSON},
	{name: "data/unicode", run: dataUnicode},
	{name: "data/types", run: dataTypes},
	{name: "data/1MiB", run: dataLarge},
	{name: "data/time", run: dataTime},
	{name: "data/time-missing", run: dataTimeMissing},
}

// oddJSON is valid, and what encoding/json or a Lua script would not keep.
func oddJSON() []string {
	return []string{
		`null`, `true`, `0`, `-0`, `"text"`, `[]`, `[[],{}]`, `""`, `{}`,
		strings.Repeat("[", tidings.MaxDataDepth) + strings.Repeat("]", tidings.MaxDataDepth),
		strings.Repeat(`{"a":`, 1500) + `1` + strings.Repeat("}", 1500),
		`{"n":123456789012345678901234567890.000100e+400}`,
		`[9007199254740993,-9223372036854775809,1E400,0.1e-999,1.0,1.10]`,
		`{"b":1,"a":2,"b":3,"a":{"a":1,"a":1}}`,
		`{"z":1,"y":2,"x":3,"":4}`,
		`{"nul":"a\u0000b","\u0000":1}`,
		`{"lone":"\ud800","swapped":"\udc00\ud800","pair":"\ud83d\ude00"}`,
		`{"escapes":"\/\b\f\n\r\t\"\\\u003c\u2028<>&"}`,
		"{\"separators\":\"\u2028\u2029\u0085\ufeff\"}",
		`{"event_type":"custom","data":{"data":{}},"timestamp":"2000-01-01T00:00:00Z","job_id":"x"}`,
		`{"id":"1-1","event":"done","retry":"5"}`,
		"{ \"white\" :\t[ 1 ,\r\n2 ] }",
	}
}

func dataOddJSON(e *env) {
	job := e.job()
	var events []tidings.Event
	for _, data := range oddJSON() {
		events = append(events, event(tidings.TypeCustom, data))
	}
	r := e.append(job, events...)
	e.sameData("log", e.log(job), events)
	e.sameData("follower", e.take(e.follow(job, tidings.Cursor{}), len(events)), events)
	for i, id := range r.IDs { // each alone, as a reader in the middle gets it
		p := e.read(job, tidings.Query{After: tidings.Cursor{ID: id.Prev()}, Limit: 1})
		e.sameData("page", p.Events, events[i:i+1])
	}
	e.append(job, tidings.Event{Type: tidings.TypeCustom})
	if last := e.log(job)[len(events)]; payload(&last) != "custom {}" {
		e.Errorf("missing data is read as %s; want {}", last.Data)
	}
}

func dataUnicode(e *env) {
	job := e.job()
	events := []tidings.Event{
		event("custom", `{"text":"Grüße, 世界, שלום, 👩🏽‍🚀, e\u0301 é, \udbff\udfff"}`),
		event("mood 😀", `{"ключ":"значение","密钥":"值"}`),
		event(strings.Repeat("é", 32), "\"\U0010ffff\""),
	}
	e.append(job, events...)
	e.sameData("log", e.log(job), events)
}

func dataTypes(e *env) {
	job := e.job()
	types := []string{"end", "gap", "job_id", "a b", "a:b", "a\nb", "a\"b", "a\x00b", "\u2028", "message", "0"}
	var events []tidings.Event
	for _, t := range types {
		events = append(events, event(t, `{}`))
	}
	e.append(job, events...)
	e.sameData("log", e.log(job), events)
	if e.get(job).Closed {
		e.Error("an unknown type closed the log")
	}
}

// Events of 1 MiB, all their JSON counted.
func dataLarge(e *env) {
	job := e.job()
	big := func(n int) tidings.Event {
		return event("custom", fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, randomText(1<<20-1024)))
	}
	events := []tidings.Event{big(0), note(1), big(2), big(3), note(4)}
	e.append(job, events[:1]...)
	e.append(job, events[1:]...)
	got := e.log(job)
	e.sameData("log", got, events)
	e.same("follower", e.take(e.follow(job, tidings.Cursor{}), len(events)), got)
}

// randomText does not compress.
func randomText(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
	text := make([]byte, n)
	for i := range text {
		text[i] = letters[rand.IntN(len(letters))]
	}
	return string(text)
}

func dataTime(e *env) {
	job := e.job()
	zone := time.FixedZone("somewhere", 5*3600+1800)
	times := []time.Time{
		time.Date(2026, 11, 24, 9, 20, 1, 234567000, time.UTC),
		time.Date(2026, 11, 24, 9, 20, 1, 234567999, zone),
		time.Date(1969, 7, 20, 20, 17, 40, 1000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), // before its predecessor
	}
	var events []tidings.Event
	for _, t := range times {
		events = append(events, tidings.Event{Type: "custom", Time: t, Data: json.RawMessage(`{}`)})
	}
	e.append(job, events...)
	for i, got := range e.log(job) {
		if want := times[i].Truncate(time.Microsecond); !got.Time.Equal(want) {
			e.Errorf("event %d happened at %s; want %s", i, got.Time, want)
		}
	}
}

func dataTimeMissing(e *env) {
	job := e.job()
	before := time.Now().Add(-time.Second) // the store's clock may be another
	e.append(job, note(0))
	latest := time.Now().Add(time.Second)
	if got := e.log(job)[0].Time; got.Before(before) || got.After(latest) {
		e.Errorf("an event without a time happened at %s; want now, about %s", got, before)
	}
}
