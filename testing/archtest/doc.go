// Package archtest holds the rules of this module as tests: who may import whom, what is exported, and the rules of
// the house. It exports nothing; run it with
//
//	go test ./testing/archtest
//	go test ./testing/archtest -update   # after a deliberate change of the exported API
//
// A rule is policy. When one fails, change the code; change the rule only as a decision of its own, in a commit that
// says why.
//
// The rules read the source and nothing else, so each of them is also shown to fail: testdata/broken holds, for every
// rule, a small tree that breaks it, under the lines that the rule must report. testdata/api is the exported API, a
// file for every package and a line for every name.
package archtest
