package alert

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWhichNetworksArePrivate(t *testing.T) {
	t.Parallel()
	for text, private := range map[string]bool{
		"8.8.8.8": false, "1.1.1.1": false, "2606:4700::1111": false, "172.32.0.1": false,
		"127.0.0.1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.0.1": true, "169.254.169.254": true, "0.0.0.0": true, "100.64.0.1": true,
		"224.0.0.1": true, "255.255.255.255": true, "198.18.0.1": true, "::1": true, "::": true, "fe80::1": true, "fe80::1%eth0": true, "fc00::1": true,
		"::ffff:127.0.0.1": true, "::ffff:8.8.8.8": false, "64:ff9b::7f00:1": true, "2002:7f00:1::": true, "ff02::1": true,
	} {
		if got := (Guard{}).Check(netip.MustParseAddr(text)) != nil; got != private {
			t.Errorf("%s is refused: %v", text, got)
		}
	}
	g, err := NewGuard([]string{"10.0.0.0/8"})
	if err != nil || g.Check(netip.MustParseAddr("10.1.2.3")) != nil || g.Check(netip.MustParseAddr("192.168.0.1")) == nil {
		t.Error("what is allowed is wrong", err)
	}
	if _, err := NewGuard([]string{"x"}); err == nil {
		t.Error("x is a network")
	}
}

// The address that a name stands for is looked at, whatever the name is.
func TestNamesOfPrivateNetworks(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		conn, err := (Guard{}).Dial(ctx, "tcp", host+":"+port)
		cancel()
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "private network") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// A redirect is not followed, to wherever it leads.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	reached := false
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer inside.Close()
	web := httptest.NewServer(http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	defer web.Close()
	resp, err := Guard{All: true}.Client(time.Minute).Post(web.URL, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := CheckResponse(resp); err == nil || reached {
		t.Error(err, reached)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{"https://example.com/x": true, "http://8.8.8.8": true, "ftp://example.com": false, "example.com": false, "": false, "http://": false,
		"http://127.0.0.1:8080": false, "http://[::1]/": false, "http://169.254.169.254/latest": false} {
		if err := (Guard{}).CheckURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}
