package main

import (
	"fmt"
	"slices"
	"time"
)

// percentile gives the value below which the share p of the sorted ones lies.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func sortedCopy(parts ...[]time.Duration) []time.Duration {
	out := slices.Concat(parts...)
	slices.Sort(out)
	return out
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// micros is what each of n cost.
func micros(d time.Duration, n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f µs", float64(d)/float64(time.Microsecond)/float64(n))
}

func rate(n int64, took time.Duration) string {
	return fmt.Sprintf("%.0f", float64(n)/took.Seconds())
}

func kilobytes(n int64) string { return fmt.Sprintf("%.1f KB", float64(n)/1024) }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/(1<<20)) }

// megabytesPerSecond counts a megabyte as 10^6 bytes, as disks and networks do.
func megabytesPerSecond(n int64, took time.Duration) string {
	return fmt.Sprintf("%.0f", float64(n)/1e6/took.Seconds())
}

func median(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}
