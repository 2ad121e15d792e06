package celery

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
	"tidings/pebblelog"
	"tidings/redislog"
)

// BenchmarkBridge measures events of Celery through the bridge into the store:
// received, started and succeeded, and a result, of each task, published as fast
// as the bridge takes them by a client on the same machine.
func BenchmarkBridge(b *testing.B) {
	b.Run("pebble", func(b *testing.B) {
		store, err := pebblelog.Open(b.TempDir(), nil)
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		benchmarkBridge(b, redistest.Server(b), store)
	})
	b.Run("redis", func(b *testing.B) {
		redis := redistest.Server(b)
		store, err := redislog.Open(b.Context(), redislog.Options{URL: redis.URL()})
		if err != nil {
			b.Fatal(err)
		}
		defer store.Close()
		benchmarkBridge(b, redis, store)
	})
}

const benchTasks = 1000

func benchmarkBridge(b *testing.B, redis *redistest.Redis, store tidings.Store) {
	bridge, err := Start(b.Context(), store, Options{BrokerURL: redis.URL() + "/0", closeAfter: time.Hour}) // the ends of jobs would be counted too
	if err != nil {
		b.Fatal(err)
	}
	defer bridge.Close()
	c := redis.Dial()
	round := 0
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for b.Loop() {
		round++
		now := float64(time.Now().UnixMicro()) / 1e6
		for i := 0; i < benchTasks; i += 8 { // as workers buffer
			var received, started, ended []string
			for j := i; j < i+8; j++ {
				id := fmt.Sprintf("job-%d-%d", round, j)
				received = append(received, fmt.Sprintf(`{"type":"task-received","uuid":%q,"name":"app.gen","args":"['job', 3]","kwargs":"{}","retries":0,"timestamp":%f,"hostname":"w1@host"}`, id, now))
				started = append(started, fmt.Sprintf(`{"type":"task-started","uuid":%q,"timestamp":%f,"hostname":"w1@host"}`, id, now+.01))
				ended = append(ended, fmt.Sprintf(`{"type":"task-succeeded","uuid":%q,"result":"'ok'","runtime":0.08,"timestamp":%f,"hostname":"w1@host"}`, id, now+.1))
			}
			say(b, c, "application/json", "["+strings.Join(received, ",")+"]")
			say(b, c, "application/json", "["+strings.Join(started, ",")+"]")
			for j := i; j < i+8; j++ {
				id := fmt.Sprintf("job-%d-%d", round, j)
				text, _ := json.Marshal(map[string]any{"status": "SUCCESS", "result": "ok", "task_id": id})
				publish(b, c, "celery-task-meta-"+id, string(text))
			}
			say(b, c, "application/json", "["+strings.Join(ended, ",")+"]")
		}
		for bridge.Stats().Written < int64(round*benchTasks*3) {
			time.Sleep(time.Millisecond)
		}
	}
	if s := bridge.Stats(); s.Dropped > 0 || s.Refused > 0 {
		b.Fatalf("%+v", s)
	}
	b.ReportMetric(float64(round*benchTasks*4)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "heap-MiB")
}
