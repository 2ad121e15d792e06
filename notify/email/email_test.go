package email_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/notify/email"
)

// server is an SMTP server (RFC 5321) of one connection after the other.
type server struct {
	net.Listener
	tls    *tls.Config // nil: STARTTLS is not offered
	refuse string      // said to RCPT
	mails  chan string
	auth   chan string
}

func serve(t *testing.T, s *server) string {
	t.Helper()
	var err error
	if s.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.mails, s.auth = make(chan string, 10), make(chan string, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.talk(conn)
		}
	}()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return s.Addr().String()
}

func (s *server) talk(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(conn)
	say := func(text string) { _, _ = io.WriteString(conn, text+"\r\n") }
	say("220 test")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		switch verb, _, _ := strings.Cut(line, " "); strings.ToUpper(verb) {
		case "EHLO":
			if _, secured := conn.(*tls.Conn); s.tls != nil && !secured {
				say("250-test\r\n250 STARTTLS")
			} else {
				say("250-test\r\n250 AUTH PLAIN")
			}
		case "STARTTLS":
			say("220 go")
			secure := tls.Server(conn, s.tls)
			conn, in = secure, bufio.NewReader(secure)
			say = func(text string) { _, _ = io.WriteString(secure, text+"\r\n") }
		case "AUTH":
			s.auth <- line
			say("235 welcome")
		case "RCPT":
			if s.refuse != "" {
				say(s.refuse)
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go")
			var mail strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				mail.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mails <- mail.String()
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

var dialLocal = alert.Guard{All: true}.Dial

func notice() *alert.Notice {
	return &alert.Notice{ID: "msg_42", PanelURL: "https://t.example.com", Truncated: 3, Alerts: []alert.Alert{
		{Rule: "loop", State: alert.Firing, Severity: alert.Critical, JobID: "j", Summary: "j <script> hängt\r\nBcc: x@example.com", Since: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}}}
}

func TestMail(t *testing.T) {
	t.Parallel()
	s := &server{}
	n, err := email.New(email.Options{Server: serve(t, s), From: "Tidings <tidings@example.com>", To: []string{"ops@example.com", "Zoë <z@example.com>"}, TLS: email.TLSNone, Dial: dialLocal})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(strings.NewReader(<-s.mails))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
	if err != nil || subject != "[Tidings] FIRING: j <script> hängt Bcc: x@example.com (and 3 more)" || got.Header.Get("Bcc") != "" {
		t.Errorf("subject %q, %v; Bcc %q", subject, err, got.Header.Get("Bcc"))
	}
	if id := got.Header.Get("Message-ID"); id != "<msg_42@example.com>" {
		t.Errorf("Message-ID %q", id)
	}
	_, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(got.Body, params["boundary"])
	for _, want := range []string{"FIRING  critical  j <script> hängt", "j &lt;script&gt; hängt"} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(part)
		if !strings.Contains(string(text), want) || !strings.Contains(string(text), "https://t.example.com/jobs/j") {
			t.Errorf("%s: %s", part.Header.Get("Content-Type"), text)
		}
	}
}

// The password goes over a secured connection, and to nobody else.
func TestSignIn(t *testing.T) {
	t.Parallel()
	cert, pool := certificate(t)
	s := &server{tls: &tls.Config{Certificates: []tls.Certificate{cert}}}
	opts := email.Options{Server: serve(t, s), From: "a@example.com", To: []string{"b@example.com"}, Username: "u", Password: "p", Dial: dialLocal,
		TLSConfig: &tls.Config{ServerName: "localhost", RootCAs: pool}}
	n, err := email.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	if auth := <-s.auth; auth != "AUTH PLAIN AHUAcA==" {
		t.Errorf("it signed in by %q", auth)
	}
	opts.TLSConfig = nil // the certificate is of nobody that is known
	if n, err = email.New(opts); err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err == nil || len(s.auth) > 0 {
		t.Error("it trusts anyone", err)
	}
	plain := &server{}
	opts.Server = serve(t, plain)
	if n, err = email.New(opts); err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err == nil || !strings.Contains(err.Error(), "does not offer STARTTLS") || len(plain.auth) > 0 {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for said, permanent := range map[string]bool{"550 no such user": true, "451 later": false} {
		s := &server{refuse: said}
		n, err := email.New(email.Options{Server: serve(t, s), From: "a@example.com", To: []string{"b@example.com"}, TLS: email.TLSNone, Dial: dialLocal})
		if err != nil {
			t.Fatal(err)
		}
		err = n.Notify(t.Context(), notice())
		if e, ok := err.(*alert.DeliveryError); !ok || e.Permanent != permanent || !strings.Contains(e.Reason, said) {
			t.Errorf("%s: %#v", said, err)
		}
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	t.Parallel()
	n, err := email.New(email.Options{Server: "localhost:25", From: "a@example.com", To: []string{"b@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err == nil || !strings.Contains(err.Error(), "private network") {
		t.Error(err)
	}
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	ok := email.Options{Server: "h:25", From: "a@example.com", To: []string{"b@example.com"}}
	for want, change := range map[string]func(*email.Options){
		"not host:port": func(o *email.Options) { o.Server = "h" }, "from": func(o *email.Options) { o.From = "x" }, "to is missing": func(o *email.Options) { o.To = nil },
		`to "y"`: func(o *email.Options) { o.To = []string{"y"} }, "a password needs": func(o *email.Options) { o.TLS, o.Password = email.TLSNone, "p" }, `tls "ssl"`: func(o *email.Options) { o.TLS = "ssl" },
	} {
		opts := ok
		change(&opts)
		if _, err := email.New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// certificate makes one for localhost that signs itself.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
