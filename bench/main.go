// Command bench measures a Tidings server from outside: it builds the server,
// starts it (and a redis-server) on loopback, puts load on it over raw sockets,
// and prints the figures as Markdown tables with the machine and the command.
// It ends by itself and leaves nothing behind.
//
//	go run ./bench                      # every scenario but soak
//	go run ./bench -run append,fanout   # some
//	go run ./bench -run soak -soak 2m   # memory over time
//	go run ./bench -quick               # a smoke test: small numbers, no meaning
//
// Client and server share the machine, so the client side is kept cheap: it
// writes prepared bytes and counts what comes back instead of parsing it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	run      string
	stores   string
	binary   string
	duration time.Duration
	soak     time.Duration
	viewers  int
	history  int
	wait     time.Duration
	quick    bool
	verbose  bool
}

// scenario is one measurement. It gets servers of its own.
type scenario struct {
	name    string
	what    string
	stores  []string // that it knows
	byName  bool     // runs only if asked for by name
	bare    bool     // needs no Tidings server
	columns []string
	run     func(ctx context.Context, b *bench) error
}

var scenarios = []scenario{
	{name: "append", what: "appends of one 300-byte event over HTTP", stores: both, columns: []string{"store", "connections", "events/s", "p50", "p99", "server CPU an event"}, run: runAppend},
	{name: "latency", what: "publish → viewer at 100 events/s, 10 viewers", stores: both, columns: []string{"store", "deliveries", "p50", "p99", "max"}, run: runLatency},
	{name: "fanout", what: "many viewers of one job, 10 events/s", stores: both, columns: []string{"store", "viewers", "deliveries/s", "server CPU a delivery", "RSS a quiet viewer", "RSS a viewer after the load"}, run: runFanout},
	{name: "history", what: "one long job read from its start", stores: both, columns: []string{"store", "read", "events", "events/s", "MB/s"}, run: runHistory},
	{name: "storm", what: "viewers of one job that all come back at once", stores: both, columns: []string{"store", "viewers", "store reads", "all caught up after"}, run: runStorm},
	{name: "connections", what: "connections of a server to Redis", stores: []string{redisStore}, columns: []string{"store", "viewers", "jobs", "connections before", "connections with the viewers"}, run: runConnections},
	{name: "batches", what: "batches of 64 events straight to Redis", stores: []string{redisStore}, bare: true, columns: []string{"writer", "events/s", "of redis-benchmark", "Redis' CPU an event"}, run: runBatches},
	{name: "soak", what: "memory over time: viewers, one in ten stalled", stores: both, byName: true, columns: []string{"store", "viewers", "jobs", "events", "RSS early", "RSS late", "drift a minute", "missing deliveries"}, run: runSoak},
}

const (
	embeddedStore = "embedded"
	redisStore    = "redis"
)

var both = []string{embeddedStore, redisStore}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parseFlags(args)
	if err != nil {
		return err
	}
	chosen, err := choose(s.run)
	if err != nil {
		return err
	}
	raiseFileLimit()
	tree, err := newWorkshop(ctx, s)
	if err != nil {
		return err
	}
	defer tree.close()
	fmt.Fprintf(out, "%s  \n`%s`\n", machine(), strings.TrimSpace("go run ./bench "+strings.Join(args, " ")))
	var failed error
	for _, sc := range chosen {
		failed = errors.Join(failed, runScenario(ctx, tree, s, sc, out))
	}
	return failed
}

func parseFlags(args []string) (settings, error) {
	var s settings
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&s.run, "run", "", "scenarios, separated by commas: "+scenarioNames()+" (default: all but soak)")
	f.StringVar(&s.stores, "stores", "embedded,redis", "stores to measure")
	f.StringVar(&s.binary, "server", "", "a built tidings binary (default: build ./cmd/tidings)")
	f.DurationVar(&s.duration, "duration", 5*time.Second, "of one measurement")
	f.DurationVar(&s.soak, "soak", 2*time.Minute, "of the soak")
	f.IntVar(&s.viewers, "viewers", 2000, "viewers of fanout and connections; storm and soak take half")
	f.IntVar(&s.history, "history", 100_000, "events of the long job")
	f.DurationVar(&s.wait, "settle", 4*time.Second, "how long viewers are quiet before memory is read; 150s lets Go collect what connecting left")
	f.BoolVar(&s.quick, "quick", false, "small numbers, to see that everything works")
	f.BoolVar(&s.verbose, "v", false, "show what the servers log")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if s.quick {
		s.wait = 200 * time.Millisecond
		s.duration, s.soak, s.viewers, s.history = 500*time.Millisecond, 5*time.Second, 100, 5000
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return s, nil
}

func scenarioNames() string {
	var names []string
	for _, sc := range scenarios {
		names = append(names, sc.name)
	}
	return strings.Join(names, ",")
}

func choose(names string) ([]scenario, error) {
	var out []scenario
	if names == "" {
		for _, sc := range scenarios {
			if !sc.byName {
				out = append(out, sc)
			}
		}
		return out, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(scenarios, func(sc scenario) bool { return sc.name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, scenarioNames())
		}
		out = append(out, scenarios[i])
	}
	return out, nil
}

// runScenario measures on each store and prints one table.
func runScenario(ctx context.Context, w *workshop, s settings, sc scenario, out io.Writer) error {
	fmt.Fprintf(out, "\n**%s**: %s\n\n| %s |\n|%s\n", sc.name, sc.what, strings.Join(sc.columns, " | "), strings.Repeat("---|", len(sc.columns)))
	var failed error
	for _, store := range sc.stores {
		if !slices.Contains(strings.Split(s.stores, ","), store) {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err := onStore(ctx, w, s, sc, store, out)
		if errors.Is(err, errNoRedis) {
			fmt.Fprintf(out, "| %s | skipped: %s |\n", store, err)
			err = nil
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s on %s: %w", sc.name, store, err))
		}
	}
	return failed
}

func onStore(ctx context.Context, w *workshop, s settings, sc scenario, store string, out io.Writer) error {
	b := &bench{settings: s, store: store, out: out}
	defer b.close()
	var err error
	if store == redisStore {
		if b.redis, err = w.startRedis(ctx); err != nil {
			return err
		}
	}
	if !sc.bare {
		if b.server, err = w.startServer(ctx, b.redis); err != nil {
			return err
		}
	}
	return sc.run(ctx, b)
}

// bench is what a scenario works with.
type bench struct {
	settings
	store  string
	server *process // nil for a bare scenario
	redis  *process // nil on the embedded store
	out    io.Writer
}

func (b *bench) close() {
	b.server.stop()
	b.redis.stop()
}

// row prints one line of the scenario's table.
func (b *bench) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = fmt.Sprint(c)
	}
	fmt.Fprintf(b.out, "| %s |\n", strings.Join(texts, " | "))
}
