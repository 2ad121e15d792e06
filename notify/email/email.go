// Package email tells people of alerts by mail, through an SMTP server.
package email

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"tidings/alert"
)

// How the connection is secured.
const (
	TLSStart  = "starttls" // asked for after the connection is made; without it nothing is sent
	TLSDirect = "tls"      // from the beginning, as on port 465
	TLSNone   = "none"     // not at all; then there can be no password
)

// Options of a [Notifier].
type Options struct {
	// Server is host:port.
	Server string
	// From is who writes, and To who is written to.
	From string
	To   []string
	// Username and Password sign in (PLAIN). Empty: nobody does.
	Username, Password string
	// TLS is how the connection is secured; empty: [TLSStart].
	TLS string
	// TLSConfig is for tests and odd servers. Nil: the server's name is checked.
	TLSConfig *tls.Config
	// Dial connects; nil: the zero [alert.Guard], to public networks alone.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Notifier is a list of people. Safe for concurrent use.
type Notifier struct {
	opts Options
	host string
	from *mail.Address
	to   []*mail.Address
}

// New checks the options.
func New(opts Options) (*Notifier, error) {
	n := &Notifier{opts: opts}
	var err error
	if n.host, _, err = net.SplitHostPort(opts.Server); err != nil || n.host == "" {
		return nil, fmt.Errorf("server %q is not host:port, such as smtp.example.com:587", opts.Server)
	}
	if n.from, err = mail.ParseAddress(opts.From); err != nil {
		return nil, fmt.Errorf("from %q is no address", opts.From)
	}
	if len(opts.To) == 0 {
		return nil, errors.New("to is missing; give a list of addresses")
	}
	for _, text := range opts.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("to %q is no address", text)
		}
		n.to = append(n.to, to)
	}
	if n.opts.Dial == nil {
		n.opts.Dial = alert.Guard{}.Dial
	}
	if n.opts.TLSConfig == nil {
		n.opts.TLSConfig = &tls.Config{ServerName: n.host}
	}
	switch n.opts.TLS {
	case "":
		n.opts.TLS = TLSStart
	case TLSStart, TLSDirect:
	case TLSNone:
		if opts.Password != "" {
			return nil, errors.New("a password needs tls: starttls or tls, or it could be read on the way")
		}
	default:
		return nil, fmt.Errorf("tls %q is not starttls, tls or none", opts.TLS)
	}
	return n, nil
}

// Notify implements [alert.Notifier].
func (n *Notifier) Notify(ctx context.Context, notice *alert.Notice) error {
	message, err := n.message(notice, time.Now())
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	conn, err := n.opts.Dial(ctx, "tcp", n.opts.Server)
	if err != nil {
		return err
	}
	defer conn.Close() // Quit closed it already if all went well
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if n.opts.TLS == TLSDirect {
		conn = tls.Client(conn, n.opts.TLSConfig)
	}
	return permanent(n.send(conn, message))
}

func (n *Notifier) send(conn net.Conn, message []byte) error {
	c, err := smtp.NewClient(conn, n.host)
	if err != nil {
		return err
	}
	if n.opts.TLS == TLSStart {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the SMTP server does not offer STARTTLS; set tls to tls or none if it is meant so")
		}
		if err := c.StartTLS(n.opts.TLSConfig); err != nil {
			return err
		}
	}
	if n.opts.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", n.opts.Username, n.opts.Password, n.host)); err != nil {
			return err
		}
	}
	if err := c.Mail(n.from.Address); err != nil {
		return err
	}
	for _, to := range n.to {
		if err := c.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil { // the server has it from here on
		return err
	}
	_ = c.Quit() // it has it all the same
	return nil
}

// permanent tells from the server's code whether it need not be tried again.
func permanent(err error) error {
	var said *textproto.Error
	if errors.As(err, &said) {
		return &alert.DeliveryError{Reason: "the SMTP server said: " + strconv.Itoa(said.Code) + " " + said.Msg, Permanent: said.Code >= 500}
	}
	return err
}

// message is the mail. Its ID is that of the notice, so that what comes twice can
// be told; mails of one group are one thread.
func (n *Notifier) message(notice *alert.Notice, now time.Time) ([]byte, error) {
	var parts bytes.Buffer
	body := multipart.NewWriter(&parts)
	if err := body.SetBoundary("tidings-" + notice.ID); err != nil {
		return nil, err
	}
	for _, part := range []struct{ kind, text string }{{"text/plain", plain(notice)}, {"text/html", page(notice)}} {
		w, err := body.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := q.Write([]byte(part.text)); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	if err := body.Close(); err != nil {
		return nil, err
	}
	_, domain, _ := strings.Cut(n.from.Address, "@")
	var to []string
	for _, a := range n.to {
		to = append(to, a.String())
	}
	var out bytes.Buffer
	for _, h := range [][2]string{
		{"From", n.from.String()}, {"To", strings.Join(to, ", ")}, {"Subject", mime.QEncoding.Encode("utf-8", subject(notice))},
		{"Date", now.Format(time.RFC1123Z)}, {"Message-ID", "<" + notice.ID + "@" + domain + ">"}, {"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"}, {"Content-Type", `multipart/alternative; boundary="` + body.Boundary() + `"`},
	} {
		fmt.Fprintf(&out, "%s: %s\r\n", h[0], h[1])
	}
	out.WriteString("\r\n")
	out.Write(parts.Bytes())
	return out.Bytes(), nil
}

// subject is one line whatever an event says.
func subject(notice *alert.Notice) string {
	state := "RESOLVED"
	if notice.Firing() {
		state = "FIRING"
	}
	text := "alerts"
	if len(notice.Alerts) > 0 {
		text = notice.Alerts[0].Summary
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 120 {
		text = strings.ToValidUTF8(text[:120], "") + "…"
	}
	if more := len(notice.Alerts) - 1 + notice.Truncated; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return "[Tidings] " + state + ": " + text
}

func plain(notice *alert.Notice) string {
	var b strings.Builder
	for i := range notice.Alerts {
		a := &notice.Alerts[i]
		fmt.Fprintf(&b, "%s  %s  %s\n  since %s\n  %s\n\n", strings.ToUpper(a.State), a.Severity, a.Summary, a.Since.Format(time.RFC3339), notice.Link(a))
	}
	if notice.Truncated > 0 {
		fmt.Fprintf(&b, "and %d more: %s/alerts\n", notice.Truncated, notice.PanelURL)
	}
	return b.String()
}

func page(notice *alert.Notice) string {
	var b strings.Builder
	b.WriteString("<!doctype html><html><body><ul>")
	for i := range notice.Alerts {
		a := &notice.Alerts[i]
		fmt.Fprintf(&b, `<li><b>%s</b> %s: %s<br>since %s, <a href="%s">view</a></li>`, html.EscapeString(strings.ToUpper(a.State)), html.EscapeString(a.Severity),
			html.EscapeString(a.Summary), a.Since.Format(time.RFC3339), html.EscapeString(notice.Link(a)))
	}
	b.WriteString("</ul>")
	if notice.Truncated > 0 {
		fmt.Fprintf(&b, `<p>and <a href="%s/alerts">%d more</a></p>`, html.EscapeString(notice.PanelURL), notice.Truncated)
	}
	b.WriteString("</body></html>")
	return b.String()
}
