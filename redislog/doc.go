// Package redislog keeps logs in Redis Streams: on Redis from 6.2 or Valkey, on
// one server, behind Sentinels, or on a Cluster. Any number of nodes may work on
// the same Redis. docs/redis.md describes the keys, which are a public contract.
//
// # Promises
//
//  1. A batch is written as a whole, in order, with what is known of its
//     producer, in one script; nothing can come between. A repeated producer
//     sequence writes nothing, also after a lost reply (TestLostReply,
//     TestRestartsUnderAppendersAndFollowers, the conformance suite).
//  2. An append is acknowledged when the master has it, and besides when
//     [Durability] is met. What a failover or a crash may still lose depends on
//     the servers' settings, which [Store.Health] reports and [Open] warns of
//     (TestDurability, TestHealthWarns).
//  3. Nothing is written twice by itself: writes are never repeated by the
//     client. An append that has no answer fails as [tidings.ErrUnavailable],
//     within Options.Timeout (TestWhileRedisIsAway).
//  4. A follower gets every event once and in order, live. Announcements are
//     only a hint: each is checked against the follower's place, and quiet open
//     jobs are looked at several times a second, so that nothing depends on one
//     that was lost, and events of publishers who do not announce are seen
//     within 250 ms (TestBareXADDIsSeenLive, TestBrokenAnnouncementsAreMadeUpFor,
//     TestDeafConnectionIsNoticed, TestClusterSlotMigration).
//  5. While Redis is away followers wait and then go on. If it comes back with
//     less than they have seen, they are told, and so is every cursor of an
//     event that was lost, also after the log has grown past it
//     (TestFailoverThatLostWritesIsRewound, TestSentinelFailover).
//  6. Plain XADDs of other publishers are events like any other: replayed,
//     listed within 5 s, folded into the job's status. Their terminal event
//     ends the log; what lies behind it in the stream is not part of it. A
//     stream that others delete and write again is another incarnation; what
//     they trim is a gap (TestBareJobsAreListed, TestForeignDeletionAndNewLife,
//     TestForeignTrimmingIsAGap).
//  7. Index and feed are derived. They follow right behind an append, and one
//     node at a time makes them agree with the logs; losing them loses no event
//     (TestIndexAndFeedAreRebuilt, TestAppendsOfADeadNodeAreListed). [Store.Job]
//     is always as fresh as the log; [Store.Jobs] has what its own node wrote.
//  8. A node holds a constant number of connections a shard: one for commands
//     and one for announcements, whatever is followed and by how many
//     (TestConnectionsDoNotGrowWithFollowers). With a [Durability], up to 16
//     more are used for appends that wait. A [Bridge] has its own.
//
// Redis 6.2 does not count what a stream ever took. There, what others trimmed
// before Tidings first saw a stream is not told as a gap, and a log whose last
// event others removed is taken for another incarnation, which readers are told.
//
// The feed reads events from the logs when they are asked for. What retention
// or a deletion removed before that is left out; deletions themselves are told.
// If a failover loses events, the feed gives the job as deleted and then anew.
//
// # The way of an append
//
// append.go builds the arguments, lua/log.lua brings the companion hash up to
// the stream, lua/append.lua checks, writes and announces. subscriber.go hears
// the announcement on another node, watches.go hands it to the followers of the
// job, follow.go decides whether it is what comes next. index.go folds the batch
// behind the append's back and lua/index.lua brings the summary into the index
// and the step into the feed. care.go finds what was missed.
package redislog
