package logtest

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"tidings"
)

// Producers: repeated batches are written once, zombies are fenced off.
var producerCases = []testCase{
	{name: "producer/repeat", run: producerRepeat},
	{name: "producer/gap", run: producerGap},
	{name: "producer/epochs", run: producerEpochs},
	{name: "producer/invalid", run: producerInvalid},
	{name: "producer/refusal-writes-nothing", run: producerRefusalWritesNothing},
	{name: "producer/two-in-one-job", run: producerTwoInOneJob},
	{name: "producer/many", run: producerMany},
	{name: "producer/duplicate-after-close", run: producerDuplicateAfterClose},
	{name: "producer/concurrent-retries", run: producerConcurrentRetries},
	{name: "producer/zombie-race", run: producerZombieRace},
	{name: "producer/heartbeat-fenced", run: producerHeartbeatFenced},
	{name: "producer/forgotten-with-the-job", run: producerForgottenWithTheJob},
	{name: "producer/create-is-idempotent", run: producerCreateIsIdempotent},
}

func producerRepeat(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer"}
	for seq := range int64(3) {
		p.Seq = seq
		e.appendAs(job, p, notes(int(seq)*2, int(seq)*2+2)...)
	}
	last := e.get(job).LastID
	for _, seq := range []int64{2, 0, 1, 2} { // the last, and older ones
		p.Seq = seq
		// The sequence decides, whatever the batch holds.
		r := e.appendAs(job, p, note(100+int(seq)))
		if !r.Duplicate || len(r.IDs) != 0 || r.LastID != last {
			e.Errorf("sequence %d again: %+v; want a duplicate without IDs, last ID %s", seq, r, last)
		}
	}
	p.Seq = 3
	if r := e.appendAs(job, p, note(6)); r.Duplicate {
		e.Error("the next sequence was taken for a duplicate")
	}
	e.sameData("log", e.log(job), notes(0, 7))
}

func producerGap(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer", Seq: 1}
	check := func(received, expected int64) {
		e.Helper()
		p.Seq = received
		err := wantType[*tidings.SequenceError](e, "gap", e.refused(job, tidings.Batch{Events: notes(9, 10), Producer: &p}))
		if want := (tidings.SequenceError{ProducerID: "writer", Expected: expected, Received: received}); *err != want {
			e.Errorf("error says %+v; want %+v", *err, want)
		}
	}
	check(1, 0)
	_, err := e.store.Job(e.ctx, job)
	e.want("job after a refused first batch", err, tidings.ErrUnknownJob)

	p.Seq = 0
	e.appendAs(job, p, note(0))
	check(2, 1)
	check(tidings.MaxProducerNumber, 1)
	p.Seq = 1
	e.appendAs(job, p, note(1))
	e.sameData("log", e.log(job), notes(0, 2))
}

func producerEpochs(e *env) {
	job := e.job()
	at := func(epoch, seq int64) tidings.Producer {
		return tidings.Producer{ID: "writer", Epoch: epoch, Seq: seq}
	}
	e.appendAs(job, at(5, 0), note(0)) // the first epoch may be any
	e.appendAs(job, at(5, 1), note(1))

	p := at(6, 2)
	sequence := wantType[*tidings.SequenceError](e, "new epoch in the middle", e.refused(job, tidings.Batch{Events: notes(9, 10), Producer: &p}))
	if sequence.Expected != 0 || sequence.Received != 2 {
		e.Errorf("error says %+v; want sequence 0 expected", *sequence)
	}
	e.appendAs(job, at(5, 2), note(2)) // that did not take over

	e.appendAs(job, at(8, 0), note(3))
	for _, zombie := range []tidings.Producer{at(5, 3), at(5, 0), at(7, 0), at(0, 0)} {
		fenced := wantType[*tidings.FencedError](e, "zombie", e.refused(job, tidings.Batch{Events: notes(9, 10), Producer: &zombie}))
		if want := (tidings.FencedError{ProducerID: "writer", Epoch: zombie.Epoch, Current: 8}); *fenced != want {
			e.Errorf("error says %+v; want %+v", *fenced, want)
		}
	}
	if r := e.appendAs(job, at(8, 0), note(3)); !r.Duplicate {
		e.Error("first batch of the new epoch, again: want a duplicate")
	}
	e.appendAs(job, at(tidings.MaxProducerNumber, 0), note(4))
	e.sameData("log", e.log(job), notes(0, 5))
}

func producerInvalid(e *env) {
	job := e.job()
	long := strings.Repeat("x", tidings.MaxProducerIDBytes+1)
	for _, p := range []tidings.Producer{{}, {ID: long}, {ID: "p", Epoch: -1}, {ID: "p", Seq: -1},
		{ID: "p\n"}, {ID: "p\x00"}, {ID: "\xff"}, {ID: "p", Epoch: tidings.MaxProducerNumber + 1}, {ID: "p", Seq: tidings.MaxProducerNumber + 1}} {
		wantType[*tidings.InvalidError](e, "producer", e.refused(job, tidings.Batch{Events: notes(0, 1), Producer: &p}))
	}
	odd := tidings.Producer{ID: "höst:1 {x} \"'\\ %00"}
	e.appendAs(job, odd, note(0))
	if r := e.appendAs(job, odd, note(0)); !r.Duplicate {
		e.Errorf("producer %q is not known again", odd.ID)
	}
}

// An invalid batch uses up no sequence.
func producerRefusalWritesNothing(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer"}
	bad := tidings.Batch{Events: []tidings.Event{note(0), event("", `{}`)}, Producer: &p}
	wantType[*tidings.InvalidError](e, "bad batch", e.refused(job, bad))
	if r := e.appendAs(job, p, note(0)); r.Duplicate {
		e.Error("the refused batch's sequence counts as written")
	}
	p.Seq = 1
	bad = tidings.Batch{Events: []tidings.Event{note(1), event("", `{}`)}, Producer: &p}
	wantType[*tidings.InvalidError](e, "bad batch", e.refused(job, bad))
	e.appendAs(job, p, note(1))
	e.sameData("log", e.log(job), notes(0, 2))
}

func producerTwoInOneJob(e *env) {
	job := e.job()
	for seq := range int64(3) {
		for i, id := range []string{"a", "b", "A"} {
			p := tidings.Producer{ID: id, Epoch: int64(i), Seq: seq}
			if r := e.appendAs(job, p, note(int(seq)*3+i)); r.Duplicate {
				e.Errorf("%+v was taken for another producer's batch", p)
			}
		}
	}
	e.append(job, note(9)) // and one that is none
	e.sameData("log", e.log(job), notes(0, 10))
}

// As many producers as a store has to remember, and each is known again.
func producerMany(e *env) {
	job := e.job()
	for _, duplicate := range []bool{false, true} {
		var group sync.WaitGroup
		for w := range 16 {
			group.Go(func() {
				for n := w; n < tidings.MinProducers; n += 16 {
					p := tidings.Producer{ID: fmt.Sprintf("writer-%d", n)}
					r, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(n, n+1), Producer: &p})
					if err != nil || r.Duplicate != duplicate {
						e.Errorf("%s: %+v, %v; want duplicate %t", p.ID, r, err, duplicate)
					}
				}
			})
		}
		group.Wait()
	}
	if n := e.get(job).Events; n != tidings.MinProducers {
		e.Errorf("%d events; want %d", n, tidings.MinProducers)
	}
}

func producerDuplicateAfterClose(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer"}
	e.appendAs(job, p, note(0))
	p.Seq = 1
	last := e.appendAs(job, p, note(1), done())
	for _, seq := range []int64{1, 0} {
		p.Seq = seq
		if r := e.appendAs(job, p, note(9)); !r.Duplicate || r.LastID != last.LastID {
			e.Errorf("sequence %d after the end: %+v; want a duplicate", seq, r)
		}
	}
	p.Seq = 2
	wantType[*tidings.ClosedError](e, "next sequence after the end", e.refused(job, tidings.Batch{Events: notes(2, 3), Producer: &p}))
}

func producerConcurrentRetries(e *env) {
	const batches, senders = 15, 12
	job := e.job()
	for seq := range int64(batches) {
		batch := notes(int(seq)*3, int(seq)*3+3) // the same memory for all
		var written atomic.Int64
		var group sync.WaitGroup
		for range senders {
			group.Go(func() {
				p := tidings.Producer{ID: "writer", Seq: seq}
				r, err := e.store.Append(e.ctx, job, tidings.Batch{Events: batch, Producer: &p})
				if err != nil {
					e.Errorf("retry of sequence %d: %v", seq, err)
				} else if !r.Duplicate {
					written.Add(1)
				}
			})
		}
		group.Wait()
		if n := written.Load(); n != 1 {
			e.Errorf("sequence %d was written %d times", seq, n)
		}
	}
	e.sameData("log", e.log(job), notes(0, batches*3))
}

// Workers with rising epochs write at once: whatever wins, nothing of a lower
// epoch may follow something of a higher one.
func producerZombieRace(e *env) {
	const workers, batches = 6, 20
	job := e.job()
	var ledger Ledger
	var group sync.WaitGroup
	for epoch := range workers {
		group.Go(func() {
			for seq := range batches {
				p := tidings.Producer{ID: "writer", Epoch: int64(epoch), Seq: int64(seq)}
				_, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: []tidings.Event{note(epoch*batches + seq)}, Producer: &p})
				if err != nil {
					wantFenced(e, err)
					return
				}
			}
		})
	}
	group.Wait()
	ledger.Check(e, e.store)
	highest := 0
	for _, ev := range e.log(job) {
		n := number(&ev)
		if n < highest {
			e.Errorf("event %d of a zombie lies behind %d", n, highest)
		}
		highest = n
	}
}

func wantFenced(e *env, err error) {
	if _, ok := err.(*tidings.FencedError); !ok {
		e.Errorf("zombie: %v; want a *FencedError", err)
	}
}

func producerHeartbeatFenced(e *env) {
	job := e.job()
	beat := func(epoch int64) error {
		p := tidings.Producer{ID: "writer", Epoch: epoch}
		return e.store.Heartbeat(e.ctx, job, tidings.Lease{Producer: &p})
	}
	e.appendAs(job, tidings.Producer{ID: "writer", Epoch: 3}, note(0))
	if err := beat(3); err != nil {
		e.Errorf("heartbeat of the current epoch: %v", err)
	}
	e.appendAs(job, tidings.Producer{ID: "writer", Epoch: 4}, note(1))
	fenced := wantType[*tidings.FencedError](e, "heartbeat of a zombie", beat(3))
	if want := (tidings.FencedError{ProducerID: "writer", Epoch: 3, Current: 4}); *fenced != want {
		e.Errorf("error says %+v; want %+v", *fenced, want)
	}
}

func producerForgottenWithTheJob(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer", Epoch: 7}
	e.appendAs(job, p, note(0))
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	p.Epoch = 0
	if r := e.appendAs(job, p, note(1)); r.Duplicate {
		e.Error("the new job remembers the old one's producer")
	}
	e.sameData("log", e.log(job), notes(1, 2))
}

func producerCreateIsIdempotent(e *env) {
	spec := tidings.JobSpec{ID: e.job(), Name: "nightly", Labels: map[string]string{"team": "a"}}
	var written atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			_, r, err := tidings.Create(e.ctx, e.store, spec)
			if err != nil {
				e.Errorf("create: %v", err)
			} else if !r.Duplicate {
				written.Add(1)
			}
		})
	}
	group.Wait()
	j := e.get(spec.ID)
	if written.Load() != 1 || j.Events != 1 || j.Status != tidings.StatusQueued || j.Name != "nightly" || j.Labels["team"] != "a" {
		e.Errorf("created %d times: %+v; want once, queued, with name and label", written.Load(), j)
	}
}
