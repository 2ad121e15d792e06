package anthropic

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/anthropics/anthropic-sdk-go/option"

	"tidings"
	"tidings/internal/answer"
)

// Tell is an option for the SDK's calls that tells the job of every message that
// they create, in the run that the call's context holds. With a nil job it is
// the job of the context, if that has one: such an option can be given to a
// client for all its calls.
func Tell(job *tidings.Handler) option.RequestOption {
	return tell(job, nil)
}

// tell also remembers which tools the answers ask for.
func tell(job *tidings.Handler, asked *asked) option.RequestOption {
	return option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		c := begin(job, r)
		if c == nil {
			return next(r)
		}
		c.asked = asked
		response, err := next(r)
		if err != nil || response == nil || response.Body == nil {
			c.End(err)
			return response, err
		}
		response.Body = answer.Listen(c, response)
		return response, nil
	})
}

// begin starts a call if the request makes one, and else gives nil. One whose
// answer nobody reads any more ends with the request's context.
func begin(job *tidings.Handler, r *http.Request) (c *call) {
	defer guard("request")
	if job == nil {
		job, _ = tidings.FromContext(r.Context())
	}
	if job == nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, "/messages") {
		return nil
	}
	model := requestedModel(r)
	info := tidings.RunInfo{Name: model}
	if n, err := strconv.Atoi(r.Header.Get("X-Stainless-Retry-Count")); err == nil && n > 0 {
		info.Attempt = int64(n) + 1
	}
	_, m := job.ModelWith(r.Context(), info, model, "")
	c = &call{model: m}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leave = context.AfterFunc(r.Context(), func() { c.End(context.Cause(r.Context())) })
	return c
}

// requestedModel reads the model's name from the request, and leaves its body
// as it is.
func requestedModel(r *http.Request) string {
	var request struct{ Model string }
	if r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	_ = json.NewDecoder(body).Decode(&request) // of another form: the name is not told
	return request.Model
}
