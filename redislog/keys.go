package redislog

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// keys names every key and channel the store uses. They are a public contract.
type keys struct{ prefix string }

func (k keys) stream(jobID string) string { return k.prefix + jobID }

// meta shares the stream's cluster slot: its hash tag is the stream's own key.
func (k keys) meta(jobID string) string { return "{" + k.prefix + jobID + "}:meta" }

// channel is where appends to the job are announced.
func (k keys) channel(jobID string) string { return "{" + k.prefix + jobID + "}:live" }

// jobID is the job of a stream's key.
func (k keys) jobID(stream string) (string, bool) { return strings.CutPrefix(stream, k.prefix) }

// jobOfChannel is the job that a channel announces.
func (k keys) jobOfChannel(channel string) (string, bool) {
	rest, ok := strings.CutPrefix(channel, "{"+k.prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "}:live")
}

// partitions of the job index and the feed. The number is part of the layout:
// changing it means to rebuild both.
const partitions = 4

func (k keys) base() string { return strings.TrimRight(k.prefix, ":") }

func (k keys) derived(partition int, name string) string {
	return "{tidings:" + k.base() + ":" + strconv.Itoa(partition) + "}:" + name
}

// The derived keys of one partition: job ID → summary, job ID → what of it
// decides, the listing's order, the ended jobs by the time of their end, the
// feed, job ID → end of the lease.
func (k keys) jobs(p int) string   { return k.derived(p, "jobs") }
func (k keys) heads(p int) string  { return k.derived(p, "heads") }
func (k keys) order(p int) string  { return k.derived(p, "order") }
func (k keys) ended(p int) string  { return k.derived(p, "ended") }
func (k keys) feed(p int) string   { return k.derived(p, "feed") }
func (k keys) leases(p int) string { return k.derived(p, "leases") }

// index are the keys that the index's scripts touch.
func (k keys) index(p int) []string {
	return []string{k.jobs(p), k.heads(p), k.order(p), k.ended(p), k.feed(p), k.leases(p)}
}

// tombstone of a deleted job; it expires by itself.
func (k keys) tombstone(p int, jobID string) string { return k.derived(p, "gone:"+jobID) }

// caretaker holds the name of the node that reconciles and applies retention.
func (k keys) caretaker() string { return k.derived(0, "caretaker") }

func partitionOf(jobID string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(jobID))
	return int(h.Sum32() % partitions)
}

// slot is the hash slot of a key in a Redis Cluster
// (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags).
func slot(key string) uint16 {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if length := strings.IndexByte(key[open+1:], '}'); length > 0 {
			key = key[open+1 : open+1+length]
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}

// matchPattern is the glob that matches the streams' keys.
func (k keys) matchPattern() string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "]", `\]`).Replace(k.prefix) + "*"
}
