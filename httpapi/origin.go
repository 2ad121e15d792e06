package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// originPolicy decides whether a browser page of another origin, or a request
// under a strange host name, is listened to. Three attacks are meant:
// a page that sends state-changing requests to a server its visitor can reach
// (CSRF), a page that reads from it (which CORS prevents), and a name that an
// attacker lets resolve to 127.0.0.1 to pass for the same origin (DNS rebinding).
type originPolicy struct {
	all       bool
	allowed   []string
	hosts     []string
	open      bool // no authentication: being able to connect is all it takes
	crossSite *http.CrossOriginProtection
}

// newOriginPolicy panics if an origin is not one; [ValidateOrigin] says so
// before.
func newOriginPolicy(origins, hosts []string, open bool) *originPolicy {
	p := &originPolicy{open: open, crossSite: http.NewCrossOriginProtection()}
	for _, host := range hosts {
		p.hosts = append(p.hosts, strings.ToLower(host))
	}
	for _, origin := range origins {
		if origin == "*" {
			p.all = true
			continue
		}
		if err := p.crossSite.AddTrustedOrigin(origin); err != nil {
			panic(err)
		}
		p.allowed = append(p.allowed, origin)
	}
	return p
}

// ValidateOrigin reports why origin can't stand in [Options.AllowedOrigins].
func ValidateOrigin(origin string) error {
	if origin == "*" {
		return nil
	}
	return http.NewCrossOriginProtection().AddTrustedOrigin(origin)
}

// admit refuses the request, answers it if it is a preflight, or lets it pass
// with the headers that its origin needs.
func (p *originPolicy) admit(w http.ResponseWriter, r *http.Request) (answered bool, err error) {
	if err := p.checkHost(r); err != nil {
		return false, err
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false, p.checkCrossSite(r)
	}
	w.Header().Add("Vary", "Origin")
	allowed := p.all || slices.Contains(p.allowed, origin)
	if !allowed && !sameOrigin(r, origin) {
		return false, &problem{status: http.StatusForbidden, name: "origin", title: "Origin not allowed",
			detail: "pages of " + origin + " may not use this server; allow the origin (--allow-origin)"}
	}
	if allowed {
		p.expose(w.Header(), origin)
	}
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		preflight(w)
		return true, nil
	}
	return false, p.checkCrossSite(r)
}

func (p *originPolicy) checkCrossSite(r *http.Request) error {
	if p.all {
		return nil
	}
	if p.crossSite.Check(r) != nil {
		return &problem{status: http.StatusForbidden, name: "origin", title: "Origin not allowed",
			detail: "a page of another origin may not change anything here; allow its origin (--allow-origin)"}
	}
	return nil
}

// sameOrigin trusts what the browser says of itself, and compares the hosts if
// it is an old one.
func sameOrigin(r *http.Request, origin string) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && u.Host == r.Host
	}
	return false
}

// exposed are the response headers that pages may read.
const exposed = "Location, Producer-Epoch, Producer-Seq, Producer-Expected-Seq, Producer-Received-Seq, Stream-Closed, Retry-After, WWW-Authenticate"

// expose never allows credentials: a token is sent by the page itself, and
// there are no cookies.
func (p *originPolicy) expose(h http.Header, origin string) {
	if p.all {
		origin = "*"
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", exposed)
}

func preflight(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, Producer-Id, Producer-Epoch, Producer-Seq")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// checkHost matters where there is no authentication and the server listens on
// loopback only: there, a page whose name was rebound to 127.0.0.1 is of the
// same origin to the browser.
func (p *originPolicy) checkHost(r *http.Request) error {
	if !p.open || !onLoopback(r) || isLoopbackName(r.Host) || p.allowsHost(r.Host) {
		return nil
	}
	return &problem{status: http.StatusForbidden, name: "host", title: "Host not allowed",
		detail: "without authentication this server answers on a loopback address under localhost names only; use one, allow the host (--allow-host), or turn on authentication"}
}

func (p *originPolicy) allowsHost(host string) bool {
	return slices.Contains(p.hosts, strings.ToLower(host)) || slices.Contains(p.hosts, hostName(host))
}

func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	local, err := netip.ParseAddrPort(addr.String())
	return err == nil && local.Addr().Unmap().IsLoopback()
}

func isLoopbackName(host string) bool {
	name := hostName(host)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}

// hostName is the host without its port, in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
