// Package hub fans the events of a job out to its viewers.
//
// A job that is watched on this node is followed once, by a topic. The topic
// encodes each event once into a frame and keeps the recent frames in a ring. A
// viewer is a cursor, not a queue: woken, it takes whatever lies behind its
// cursor as one slice of bytes that all viewers share. A viewer that fell behind
// the ring, or joins late, reads pages of history, which viewers share too. So
//
//   - a slow viewer costs its own latency only: it holds no buffer, nobody waits
//     for it and nothing is dropped;
//   - a thousand viewers that come at once cost the store as many reads as the
//     history they ask for has pages, not a thousand;
//   - a quiet viewer costs one goroutine that waits for one channel.
//
// The hub knows no HTTP: what a frame looks like is the encoder's business.
package hub
