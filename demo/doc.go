// Package demo is a real agent, small enough to read, that shows what Tidings
// is for. It studies a folder in five phases (survey, outline, measure,
// summarise, write), asks a [Model] in each what to do next, runs the tools that
// the model calls for, and writes a Markdown report about the folder. All it
// does is told through the callback handler of package tidings.
//
// Two models are built in: [Rules], which needs nothing and is no language
// model, and [OpenAI], which talks to any server with the chat completions API.
// Every figure in the report is measured by the tools, whichever model writes
// the sentences between them.
//
// The agent reads only below the folder it is given: an [os.Root] holds it
// there, symbolic links are not followed, and files that by their names may
// hold secrets are neither read nor sent to a model.
package demo
