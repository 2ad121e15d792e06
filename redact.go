package tidings

import (
	"encoding/json"
	"regexp"
)

// redactedText stands for what was taken out.
const redactedText = "[redacted]"

// secretNames are parts of the names under which secrets are kept. Only strings
// under such names are taken out, so that max_tokens stays.
const secretNames = `[^"\\]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|authorization|credential|cookie)[^"\\]*`

var (
	// A member of an object.
	secretMember = regexp.MustCompile(`(?i)("` + secretNames + `"\s*:\s*)"(?:[^"\\]|\\.)*"`)
	// A member of an object in a string, as models give the arguments of tools.
	secretInText = regexp.MustCompile(`(?i)(\\"` + secretNames + `\\"\s*:\s*)\\"(?:[^"\\]|\\[^"])*\\"`)
	// What is a secret wherever it stands, by its form.
	secretForms = regexp.MustCompile(`` +
		`\bsk-[A-Za-z0-9_-]{16,}` + // OpenAI, Anthropic and others
		`|\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}` +
		`|\bxox[a-z]-[A-Za-z0-9-]{10,}` + // Slack
		`|\bA[KS]IA[0-9A-Z]{16}\b` + // AWS
		`|\bAIza[0-9A-Za-z_-]{35}` + // Google
		`|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+` + // JWT
		`|(?i:\bBearer\s+)[A-Za-z0-9._~+/-]{16,}=*` +
		`|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^"-]|-[^"-])*-----END [A-Z ]*PRIVATE KEY-----`)
	// A password in a URL.
	secretInURL = regexp.MustCompile(`(\b[a-z][a-z0-9+.-]*://[^/\s:@"\\]*:)[^/\s@"\\]+@`)
)

// RedactSecrets is a hook for [HandlerOptions].Redact that takes out what is
// easily recognised as a secret: strings under names as password, api_key or
// authorization, keys and tokens of well-known forms, JWTs, private keys and
// passwords in URLs. It is a net, not a proof: what looks like any other text
// goes through. It costs some 10 ms per MB of the agent's time.
func RedactSecrets(_, _ string, value json.RawMessage) json.RawMessage {
	value = secretMember.ReplaceAll(value, []byte(`${1}"`+redactedText+`"`))
	value = secretInText.ReplaceAll(value, []byte(`${1}\"`+redactedText+`\"`))
	value = secretForms.ReplaceAll(value, []byte(redactedText))
	return secretInURL.ReplaceAll(value, []byte(`${1}`+redactedText+`@`))
}
