// Package tidings keeps the story of a job while it happens. An agent, or any
// long job, publishes small events; every event is stored durably, in order,
// under its job; anyone may watch the job live, leave, come back and miss
// nothing.
//
// This package holds the words and the contracts: [Event], [ID], [Cursor], the
// summary [Job] that a log folds to, and [Store], which packages pebblelog
// (embedded) and redislog (Redis or Valkey) implement. It holds the writing
// side too: [Publisher] waits until its events are durable, and [Handler] turns
// what happens in an agent into events without failing or blocking it. It
// imports the standard library only. Package httpapi serves a store over HTTP,
// package client talks to such a server, and a client is an [Appender] and a
// [Reader] as a store is.
//
// # Promises
//
// What follows holds on every store. Each promise names the tests that hold it;
// those of logtest are cases of the suite that every store runs.
//
//  1. Order. The events of a job have one order, the same for all readers. IDs
//     strictly increase in it. What was acknowledged before another append
//     began lies before that. Nothing is promised between jobs.
//     (logtest append/order, append/concurrent-writers)
//
//  2. Whole batches. A batch is written as a whole and in one piece, or not at
//     all; no reader sees half of one. A batch that is refused leaves nothing
//     behind, not even a used sequence.
//     (logtest append/batch-refused-whole, append/batch-never-seen-half,
//     producer/refusal-writes-nothing)
//
//  3. The durability point. An append returns when its events are durable by
//     the store's setting. pebblelog syncs to disk: a crash at any instant loses
//     nothing acknowledged, and no reader is shown an event that it could lose.
//     In redislog the setting decides what a crash or a failover may lose, and
//     Health of the [Store] warns of what weakens it.
//     (pebblelog.TestKillLosesNothing, pebblelog.TestReadersSeeOnlyWhatIsSynced,
//     redislog.TestDurability, e2e.TestKilledServerLosesNothingAcknowledged,
//     e2e.TestKilledRedisLosesNothingAcknowledged)
//
//  4. Duplicates. A batch with a [Producer] is written once, however often and
//     from wherever it is sent, also at the same time, also after the log was
//     closed, trimmed or opened again: a store remembers at least the
//     [MinProducers] of a job that wrote last. A batch without one may be
//     written twice if its reply was lost and it is sent again.
//     (logtest producer/repeat, producer/concurrent-retries, producer/many,
//     producer/duplicate-after-close, retention/keeps-job-and-producers,
//     store/reopen)
//
//  5. Fencing. Once a producer's higher epoch has written, a lower one neither
//     writes nor keeps the job alive.
//     (logtest producer/epochs, producer/zombie-race, producer/heartbeat-fenced)
//
//  6. Following. A follower gets exactly the events behind its cursor, each
//     once, in order: history, then live, until the log ends.
//     (logtest follow/property, follow/ends, e2e.TestViewersWhoComeAndGo)
//
//  7. Resuming. A cursor is continued exactly, or the reader is told why not:
//     a gap, a rewound log (8), an unknown job. It is never silence. A gap says
//     that retention trimmed events away behind the cursor, and which is the
//     first still held. The start of a log whose start was trimmed is a gap
//     too.
//     (logtest retention/gap-when-reading, retention/gap-when-following,
//     retention/gap-under-a-follower, delete/under-a-follower,
//     hub.TestOutcomesOfAResume)
//
//  8. Rewound. A cursor of a job's earlier life is not taken for one of its
//     present life, and one behind the last event ever given does not wait for
//     ever: after a failover that lost writes, followers are told.
//     (logtest rewound/created-again, rewound/beyond-the-end,
//     redislog.TestFailoverThatLostWritesIsRewound)
//
//  9. Slow viewers. A viewer who reads slowly costs its own time only: no event
//     is dropped for it, nothing is queued without bound, nobody else is
//     slowed, and the reads that viewers cost a store do not grow with them.
//     (hub.TestSlowViewerCostsOnlyItself, hub.TestReadsDoNotGrowWithViewers,
//     e2e.TestStalledViewer)
//
//  10. Closing. A terminal event (done, cancelled, or an error with fatal true)
//     is the last of its log: it closes it in the same step, later appends are
//     refused and say which event it was, followers get it and then the end.
//     (logtest close/terminal-events, close/race, follow/ends-while-waiting)
//
//  11. Data. An event's data comes out as it went in: digits, key order,
//     duplicate keys and escapes stay, only white space between tokens may go.
//     (logtest data/odd-json, wire.TestEventRoundTrip, wire.TestEntryRoundTrip)
//
//  12. Summaries. [Job] is a pure fold over the job's events, up to date when an
//     append returns; no status is kept that the log can't give again.
//     (logtest job/fold, job/status-at-once, tidings.TestJobRoundTrip)
//
//  13. The feed. The changes of all jobs come once each, those of one job in
//     order, and after any cursor of an earlier change.
//     (logtest feed/all-jobs, feed/resume)
//
//  14. The agent comes first. A [Handler] never fails its job, panics into it or
//     blocks it beyond a stated bound. What it has to drop is counted and
//     reported as an event.
//     (tidings.TestBlockForIsABound, tidings.TestAppenderThatPanicsOrHangs,
//     tidings.TestWhatIsDroppedIsCountedAndReported)
package tidings
