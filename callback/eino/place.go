package eino

import (
	"cmp"
	"context"
	"regexp"
	"slices"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/compose"
)

type class int8

const (
	aPhase class = iota
	aModel
	aTool
)

// place is what a run is and where it belongs.
type place struct {
	class     class
	component components.Component
	kind      string // as events carry it
	name      string
	key       string      // of the node in its graph
	depth     int         // segments of the address
	agent     *agentPlace // nil if it is none
	namespace []string    // the graphs around it but for the outermost
	plumbing  bool        // shown only if asked for
	agentRoot bool        // plumbing that an ADK agent is made of
}

// agentPlace is where an ADK agent belongs by the framework's addresses.
type agentPlace struct{ address, above string }

// kinds are the words for Eino's components; those of a graph's own nodes are
// "node".
var kinds = map[components.Component]string{
	adk.ComponentOfAgent:                "agent",
	adk.ComponentOfAgenticAgent:         "agent",
	compose.ComponentOfGraph:            "graph",
	compose.ComponentOfWorkflow:         "workflow",
	compose.ComponentOfChain:            "chain",
	components.ComponentOfChatModel:     "llm",
	components.ComponentOfAgenticModel:  "llm",
	components.ComponentOfTool:          "tool",
	components.ComponentOfRetriever:     "retriever",
	components.ComponentOfEmbedding:     "embedding",
	components.ComponentOfIndexer:       "indexer",
	components.ComponentOfLoader:        "loader",
	components.ComponentOfTransformer:   "transformer",
	components.ComponentOfPrompt:        "prompt",
	components.ComponentOfAgenticPrompt: "prompt",
}

func placeOf(ctx context.Context, info *callbacks.RunInfo, input any, parent *node) place {
	p := place{component: componentOf(info, input)}
	switch p.component {
	case components.ComponentOfChatModel, components.ComponentOfAgenticModel:
		p.class = aModel
	case components.ComponentOfTool:
		p.class = aTool
	}
	if p.kind = kinds[p.component]; p.kind == "" {
		p.kind = "node"
	}
	p.locate(compose.GetCurrentAddress(ctx), parent)
	p.name = p.nameOf(info)
	if parent != nil {
		p.within(parent, info)
		if p.class == aModel && parent.agentRoot { // ADK calls each of them ChatModel, or nothing
			p.name = cmp.Or(modelName(info, input), p.name)
		}
	}
	return p
}

// componentOf is what runs; a component that calls the callbacks itself may
// have no info.
func componentOf(info *callbacks.RunInfo, input any) components.Component {
	if info != nil {
		return info.Component
	}
	switch input.(type) {
	case *model.CallbackInput:
		return components.ComponentOfChatModel
	case *tool.CallbackInput:
		return components.ComponentOfTool
	}
	return ""
}

// locate learns from the address, which says a node's key in its graph.
func (p *place) locate(address compose.Address, parent *node) {
	p.depth = len(address)
	above := 0
	if parent != nil {
		above = parent.depth
	}
	if p.depth > above && address[p.depth-1].Type == compose.AddressSegmentNode {
		p.key = address[p.depth-1].ID
	}
	if p.kind == "agent" && p.depth > 0 {
		p.agent = &agentPlace{address: address.String(), above: address[:p.depth-1].String()}
	}
}

// generated matches the keys that chains give to nodes.
var generated = regexp.MustCompile(`^node_\d+(_|$)`)

// nameOf is the name that was given, or else the key in the graph, or what it is.
func (p *place) nameOf(info *callbacks.RunInfo) string {
	switch {
	case info != nil && info.Name != "":
		return info.Name
	case p.key != "" && !generated.MatchString(p.key):
		return p.key
	case info != nil && info.Type != "":
		return info.Type
	}
	return p.kind
}

// helpers are the nodes that an ADK agent's own graph is made of.
var helpers = []string{"Init", "CancelCheck", "AfterToolCalls", "AfterToolCallsCancelCheck", "AfterAgent", "ToolNodeToEndConverter"}

// within learns from the run around it.
func (p *place) within(parent *node, info *callbacks.RunInfo) {
	p.namespace = parent.namespace
	if parent.parent != nil && !parent.plumbing && parent.isGraph() {
		p.namespace = append(slices.Clip(parent.namespace), parent.name)
	}
	given := ""
	if info != nil {
		given = info.Name
	}
	switch p.component {
	case compose.ComponentOfToolsNode, compose.ComponentOfAgenticToolsNode, compose.ComponentOfPassthrough, "":
		p.plumbing = true
	case compose.ComponentOfChain:
		p.plumbing = parent.isAgent() && given == parent.name
		p.agentRoot = p.plumbing
	case compose.ComponentOfGraph:
		p.plumbing = parent.agentRoot && given == "ReAct"
		p.agentRoot = p.plumbing
	case compose.ComponentOfLambda:
		unnamed := given == "" && (p.key == "" || generated.MatchString(p.key))
		p.plumbing = unnamed || parent.agentRoot && (given == "" || slices.Contains(helpers, given))
	}
}

func (p *place) isAgent() bool { return p.kind == "agent" }

func (p *place) isGraph() bool {
	return p.kind == "graph" || p.kind == "workflow" || p.kind == "chain"
}
