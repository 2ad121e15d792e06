// Package monitor folds the feed of all jobs into what people on call look at:
// how many jobs run, how fast, how often they fail, what they wait for, and
// which errors they have.
//
// The way of a change: store.Feed → [Monitor] (one goroutine) → [Fold.Apply], a
// pure function of the state and the change → readers, and the [Observer], which
// alerts are.
//
// It promises:
//
//  1. Bounded memory, whatever the jobs do: every table of the fold has a limit
//     ([Limits]), and what goes over it is counted under [Other] or told as a
//     number (TestMemoryIsBounded).
//  2. A restart goes on where the last checkpoint was: state and feed cursor are
//     saved together, so nothing is counted twice or left out
//     (TestRestartChangesNothing).
//  3. Of many nodes one holds the lease. Every node folds the feed and answers
//     reads; the holder alone runs the observer and saves, and a write of one who
//     lost the lease is refused (TestAnotherTakesOver).
//  4. Time is the store's: a change counts for the minute of its ID, not for when it was
//     read. A monitor that was away fills in what it missed.
package monitor
