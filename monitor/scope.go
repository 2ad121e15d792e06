package monitor

// Other is the name under which is counted what goes over a limit.
const Other = "(other)"

// The kinds of a [Scope].
const (
	ByAll   = "all"   // everything; the value is empty
	ByName  = "name"  // jobs of a name
	ByLabel = "label" // jobs with a label, as "env=prod"
	ByTool  = "tool"  // calls of a tool
	ByModel = "model" // calls of a model
)

// Scope is what measures are taken of.
type Scope struct {
	By    string `json:"by"`
	Value string `json:"value"`
}

// All is the scope of everything.
var All = Scope{By: ByAll}
