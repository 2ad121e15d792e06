// Package alert tells people when jobs need them: it evaluates rules over what
// the monitor folds, keeps alerts with their states, and sends notices.
//
// The way of a change: monitor → Engine.Observe, which every rule that looks at
// changes takes into its tally → Engine.Tick, which evaluates the rules, brings
// the alerts to what they found, and decides which groups' receivers are told →
// the monitor's checkpoint, which all of this is part of → and only then, once it
// is saved, a [Notifier]. All up to the checkpoint are pure functions of the
// state, the change and the time.
//
// It promises:
//
//  1. Alerts survive restarts and a change of the node that holds the monitor's
//     lease: nobody is told again what was told (TestRestartTellsNothingTwice).
//  2. A notice leaves the process only once it is saved, at least once, and each
//     time with the same ID (TestNoticeLeavesOnlyWhenSaved).
//  3. The notices of a receiver arrive in order, also if it is down for a while:
//     the next one waits for the one before (TestReceiverDownForAMinute).
//  4. A rules file that is wrong changes nothing: the rules that run go on, and
//     what is wrong is shown (TestBadFileKeepsTheRules).
//  5. Bounded memory: 1,000 alerts a rule, the rest counted; 200 notices waiting a
//     receiver, the oldest given up and shown (TestInstancesAreBounded).
package alert
