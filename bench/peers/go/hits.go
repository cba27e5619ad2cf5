package main

import (
	"encoding/base64"
	"log"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

type tracker struct {
	journal     *journal
	ids         *ids
	environment string
}

func routes(t *tracker) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /imp/{campaign}/{file}", t.impression) // a GET pattern takes HEAD too
	mux.HandleFunc("GET /click/{campaign}/{creative}", t.click)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

var gif, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAPAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

// Header values that never change are shared: Header.Set would allocate a slice for each.
var (
	noStore       = []string{"no-store"}
	crossOrigin   = []string{"cross-origin"}
	imageGIF      = []string{"image/gif"}
	gifLength     = []string{"43"}
	noReferrer    = []string{"no-referrer"}
	invalidFields = []string{"invalid_field"}
	badPlaces     = []string{"bad_destination"}
)

func (t *tracker) impression(w http.ResponseWriter, r *http.Request) {
	creative, ok := strings.CutSuffix(r.PathValue("file"), ".gif")
	if !ok || creative == "" {
		http.NotFound(w, r)
		return
	}
	query := r.URL.Query()
	event := t.begin(r, query, "impression", r.PathValue("campaign"), creative)
	if price := known(event, query, "price"); strings.EqualFold(price, "audit") {
		event.flag("audit")
	} else if price != "" {
		if amount, ok := micros(price); !ok {
			event.spoil("invalid_field", "price")
		} else {
			event.Metrics = &Metrics{PriceMicros: amount}
			event.Dimensions.Currency = "USD"
			if event.Lane == "" && billed(event) { // a CPM micro is a nano an impression
				event.Metrics.CostNanos = &amount
			}
		}
	}
	header := w.Header()
	if !t.keep(w, header, event) {
		return
	}
	header["Content-Type"], header["Content-Length"] = imageGIF, gifLength
	w.Write(gif)
}

func (t *tracker) click(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	event := t.begin(r, query, "click", r.PathValue("campaign"), r.PathValue("creative"))
	location, ok := destination(query.Get("url"), event.ID)
	if !ok {
		event.spoil("bad_destination", "url")
		location = "https://example.com/"
	}
	header := w.Header()
	if !t.keep(w, header, event) {
		return
	}
	header["Location"], header["Referrer-Policy"] = []string{location}, noReferrer
	w.WriteHeader(http.StatusFound)
}

// begin makes the event of what both routes share.
func (t *tracker) begin(r *http.Request, query url.Values, name, campaign, creative string) *Event {
	now := time.Now().UTC()
	at := now.Format("2006-01-02T15:04:05.000Z")
	event := &Event{
		ID:    t.ids.next(now.UnixMilli()),
		Event: name, Source: name, Environment: t.environment,
		Timestamp: at, ReceivedAt: at,
	}
	event.Dimensions.Campaign, event.Dimensions.Creative = fit(event, campaign), fit(event, creative)
	if r.Method == http.MethodHead {
		event.flag("head")
	}
	header := r.Header
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Moz"} {
		if purpose := header.Get(name); purpose != "" {
			purpose = strings.ToLower(purpose)
			if strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "prerender") || strings.Contains(purpose, "preview") {
				event.flag("prefetch")
			}
			break
		}
	}
	anonymous := false
	if header.Get("Sec-Gpc") == "1" {
		event.flag("gpc")
		anonymous = true
	}
	if header.Get("Dnt") == "1" {
		event.flag("dnt")
		anonymous = true
	}
	referer := header.Get("Referer")
	if site := known(event, query, "site"); site != "" {
		event.site(site)
	} else if referer != "" {
		event.site(referer)
	}
	if !anonymous {
		event.Context.IP = network(r.RemoteAddr)
	}
	event.Context.UserAgent = fit(event, header.Get("User-Agent"))
	event.Context.Referer = fit(event, referer)
	locale, _, _ := strings.Cut(header.Get("Accept-Language"), ",")
	locale, _, _ = strings.Cut(locale, ";")
	event.Context.Locale = fit(event, strings.TrimSpace(locale))
	return event
}

// keep appends the event and sets the headers of both replies; without the event there is no yes.
func (t *tracker) keep(w http.ResponseWriter, header http.Header, event *Event) bool {
	if err := t.journal.append(event); err != nil {
		log.Print("journal: ", err)
		header.Set("Retry-After", "1")
		http.Error(w, "journal_unwritable", http.StatusServiceUnavailable)
		return false
	}
	header["Cache-Control"], header["Cross-Origin-Resource-Policy"] = noStore, crossOrigin
	header["X-Event-Id"] = []string{event.ID}
	switch event.Reason {
	case "invalid_field":
		header["X-Tracker-Reason"] = invalidFields
	case "bad_destination":
		header["X-Tracker-Reason"] = badPlaces
	}
	return true
}

// site takes the host of a URL, or of a bare host.
func (e *Event) site(text string) {
	if !strings.Contains(text, "//") {
		text = "//" + text
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" {
		e.spoil("invalid_field", "site")
		return
	}
	e.Dimensions.Site = strings.ToLower(parsed.Hostname())
}

// macro finds what an ad server should have replaced: ${PRICE}, [PRICE], %%PRICE%%, {price}, {{ad.price}}, __PRICE__.
var macro = regexp.MustCompile(`^(?:\$\{[\w.:-]+\}|\[[\w.:-]+\]|%%[\w.:-]+%%|\{\{?[\w.:-]+\}?\}|__[A-Z0-9_]+__)$`)

// known is a parameter's value; an empty one, -1, -2 and an unreplaced macro count as absent.
func known(event *Event, query url.Values, name string) string {
	values := query[name]
	if len(values) == 0 {
		return ""
	}
	if len(values) > 1 {
		event.flag("repeated_parameter")
	}
	value := values[0]
	switch {
	case value == "" || value == "-1" || value == "-2":
		event.flag("unknown_value")
		return ""
	case strings.IndexByte("$[{%_", value[0]) >= 0 && macro.MatchString(value):
		event.flag("macro_unreplaced")
		return ""
	}
	return fit(event, value)
}

const maxTextChars = 1024

// fit cuts a text at its limit. (What is no UTF-8, encoding/json replaces.)
func fit(event *Event, text string) string {
	if len(text) <= maxTextChars || utf8.RuneCountInString(text) <= maxTextChars {
		return text
	}
	event.flag("cut")
	return string([]rune(text)[:maxTextChars])
}

func billed(event *Event) bool {
	for _, flag := range event.Flags {
		if flag == "head" || flag == "prefetch" || flag == "audit" {
			return false
		}
	}
	return true
}

// network is what may be kept of an address: IPv4 /24, IPv6 /48.
func network(remote string) string {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return ""
	}
	address, bits := peer.Addr().Unmap().WithZone(""), 48
	if address.Is4() {
		bits = 24
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return ""
	}
	return prefix.Addr().String()
}

var allowed = map[string]bool{"example.com": true}

const allowedBelow = ".shop.example"

// destination is the URL to send the person to, with the click's id, if its host is allowed.
func destination(text, id string) (string, bool) {
	if len(text) > 2048 || strings.ContainsAny(text, "\\\t\r\n") {
		return "", false
	}
	to, err := url.Parse(text)
	if err != nil || (to.Scheme != "http" && to.Scheme != "https") || to.User != nil || to.Port() != "" {
		return "", false
	}
	host := strings.ToLower(to.Hostname())
	if !allowed[host] && !(strings.HasSuffix(host, allowedBelow) && len(host) > len(allowedBelow)) {
		return "", false
	}
	to.Host = host
	if to.Path == "" {
		to.Path = "/"
	}
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "click_id=" + id
	return to.String(), true
}
