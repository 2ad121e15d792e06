// Package pebblelog keeps logs in a folder of this machine, in a Pebble
// database (https://github.com/cockroachdb/pebble). It implements
// [tidings.Store] and is the default store: nothing else has to run.
//
// What it promises, and the test that holds it to that:
//
//  1. An append that returned without error is on the disk: kill -9 and a crash
//     of the machine lose nothing that was acknowledged
//     (TestKillLosesNothing, TestCrashLosesNothing).
//  2. A batch is there as a whole or not at all, and with it the job's summary,
//     its producer's state, the indexes and the feed (TestCrashLosesNothing).
//  3. IDs strictly increase over all jobs, in the order of the commits; the feed
//     has that order, without holes (TestIDsIncreaseOverAllJobs,
//     TestFeedResumesAnywhere).
//  4. Nobody is shown what a crash may yet undo: readers and followers see what
//     is synced (TestReadersSeeOnlyWhatIsSynced, TestUnsyncedJobIsUnknown,
//     TestUnsyncedDeletionIsNotSeen).
//  5. A log that was trimmed, deleted or created again is told to those who hold
//     a cursor of it (TestConformance, TestFollowUnderRetention,
//     TestFollowRewoundIntoTrimmedLog).
//  6. A folder that is in use, of a newer format or someone else's is refused,
//     and a damaged one is told and left as it is (TestOpenRefusesSecondProcess,
//     TestOpenRefusesOtherFormats, TestOpenRefusesOtherFiles,
//     TestDamageIsReported, TestDamageOfLogIsReported,
//     TestDamagedFolderIsLeftAsItIs). Only the very last batch of a store that
//     was killed can't be told from one that was still being written.
//  7. A folder that an older version wrote is opened (TestOpenFolderOfVersion1,
//     TestOpenMigrates).
//  8. When a write to the disk fails the process ends: what was stored is known
//     only after a new start (TestFailedWriteIsFatal, TestFailedWriteExits).
//     Before the disk is full appends are refused instead (TestFullDisk).
//
// # How it works
//
// One goroutine, the committer, takes all changes that wait, gives IDs, checks
// producers, folds summaries, puts everything into one Pebble batch, writes and
// syncs that, then shows it to readers, wakes followers and answers. So many
// writers share one sync, and there is nothing to lock.
//
// keys.go says what stands under which key. Jobs that were written to lately
// are held in memory; a summary is written once a group, in the same batch as
// its events.
package pebblelog
