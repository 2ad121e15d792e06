// Package logtest holds every [tidings.Store] to the same promises. A store's
// own test calls [Run] with a [Harness] that opens it:
//
//	func TestStore(t *testing.T) {
//		logtest.Run(t, logtest.Harness{
//			Open: func(t *testing.T, o logtest.Options) tidings.Store { … },
//		})
//	}
//
// There is one suite. What a store can't do skips a case with a reason; nothing
// is tested differently for one store than for another. Cases run in parallel,
// most of them on one store that they share, so each looks only at jobs of its
// own. Nothing is asserted about how long something takes: where a store may
// need a moment, as a job index does, the case asks again until its time is up.
//
// [Ledger] checks histories for tests outside this package, such as those that
// kill a server under load.
package logtest
