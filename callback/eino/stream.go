package eino

import (
	"errors"
	"io"
	"strings"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/schema"
)

// read reads the run's copy of its stream to the end. The source goes on until
// every copy is closed, so one that the agent leaves is read to its end too.
func (n *node) read(stream *schema.StreamReader[callbacks.CallbackOutput]) result {
	defer stream.Close()
	var whole gathered
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n.streamed(&whole)
		}
		if err != nil {
			return result{err: err, answer: whole.answer}
		}
		if n.model != nil {
			whole.answer.add(answerOf(chunk), n.model)
		} else if n.shown || n.tool != nil {
			whole.add(n, chunk)
		}
	}
}

func (n *node) streamed(whole *gathered) result {
	if n.model != nil {
		return result{answer: whole.answer}
	}
	return result{output: whole.value()}
}

// gathered is what chunks add up to.
type gathered struct {
	answer answer // of a model
	text   strings.Builder
	only   any // the first chunk that is no text
	others int // chunks that are no text
}

// maxGathered bounds what is kept of a stream that is not a model's.
const maxGathered = 1 << 20

func (g *gathered) add(n *node, chunk any) {
	v := chunk
	if n.tool != nil {
		v = toolOutput(chunk)
	}
	switch c := v.(type) {
	case string:
		g.write(c)
	case *schema.Message:
		if c != nil {
			g.write(messageText(c))
		}
	case *schema.AgenticMessage:
		g.write(agenticAnswer(c).text)
	default:
		if g.others == 0 {
			g.only = valueOf(n.component, v)
		}
		g.others++
	}
}

func (g *gathered) write(text string) {
	if room := maxGathered - g.text.Len(); len(text) <= room {
		g.text.WriteString(text)
	}
}

// value is the text, or the only chunk; how others add up is not known.
func (g *gathered) value() any {
	switch {
	case g.text.Len() > 0:
		return g.text.String()
	case g.others == 1:
		return g.only
	}
	return nil
}
