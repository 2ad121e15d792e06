package alert

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// Guard keeps notices from going to networks that are not public, where a URL in
// a rules file could reach what only this machine should. It looks at the address
// that is dialled, so neither a name that resolves to one nor a redirect gets
// around it. The zero Guard allows public networks alone.
type Guard struct {
	Allow []netip.Prefix // besides public ones
	All   bool
}

// NewGuard reads what [Config.AllowPrivate] says.
func NewGuard(allow []string) (Guard, error) {
	var g Guard
	for _, text := range allow {
		if text == "all" {
			g.All = true
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return g, fmt.Errorf("%q is no network such as 10.0.0.0/8, nor all", text)
		}
		g.Allow = append(g.Allow, prefix)
	}
	return g, nil
}

// notPublic are networks besides those that netip knows for private: shared
// address space, benchmarks, documentation, protocol assignments and so on
// (IANA's special-purpose registries), and the ways to carry IPv4 in IPv6.
var notPublic = func() (list []netip.Prefix) {
	for _, text := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}()

// Check reports why an address may not be reached, or nil.
func (g Guard) Check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	if g.All || !private(addr) {
		return nil
	}
	for _, p := range g.Allow {
		if p.Contains(addr) {
			return nil
		}
	}
	return &PrivateError{Addr: addr}
}

func private(addr netip.Addr) bool {
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return true
	}
	for _, p := range notPublic {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// PrivateError refuses an address in a network that is not public.
type PrivateError struct{ Addr netip.Addr }

func (e *PrivateError) Error() string {
	return fmt.Sprintf("%s is in a private network; name its network under allow_private in the rules file to allow it", e.Addr)
}

const dialTimeout = 10 * time.Second

// Dial connects, unless the address is refused.
func (g Guard) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return g.Check(at.Addr())
	}}
	return d.DialContext(ctx, network, address)
}

// Client gives an HTTP client that connects through the guard, waits for so long
// at most and follows no redirects: by Standard Webhooks a redirect is a failure.
// It uses no proxy, which would connect in its place.
func (g Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DialContext: g.Dial, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CheckURL reports what is wrong with a receiver's URL, as far as can be known
// without asking DNS.
func (g Guard) CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errors.New("the url must begin with http:// or https:// and name a host")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		return g.Check(addr)
	}
	return nil
}

func pathEscape(s string) string { return url.PathEscape(s) }
