package alert

import (
	"encoding/json"
	"maps"
	"time"
)

// Payload is the body of Alertmanager's webhook, version 4, member by member
// (template.Data and notify/webhook there): whoever reads Alertmanager's notices
// reads ours.
type Payload struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   uint64            `json:"truncatedAlerts"`
	Receiver          string            `json:"receiver"`
	Status            string            `json:"status"`
	Alerts            []PayloadAlert    `json:"alerts"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
}

// PayloadAlert is one alert in a [Payload].
type PayloadAlert struct {
	Status       string            `json:"status"` // firing or resolved
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"` // summary, value
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the zero time while it fires
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Payload gives the notice in Alertmanager's form.
func (n *Notice) Payload() Payload {
	p := Payload{Version: "4", GroupKey: n.GroupKey, TruncatedAlerts: uint64(n.Truncated), Receiver: n.Receiver, Status: Resolved,
		Alerts: []PayloadAlert{}, GroupLabels: orEmptyMap(n.GroupLabels), ExternalURL: n.PanelURL}
	for i := range n.Alerts {
		p.Alerts = append(p.Alerts, n.payloadAlert(&n.Alerts[i]))
	}
	if n.Firing() {
		p.Status = Firing
	}
	p.CommonLabels = common(p.Alerts, func(a *PayloadAlert) map[string]string { return a.Labels })
	p.CommonAnnotations = common(p.Alerts, func(a *PayloadAlert) map[string]string { return a.Annotations })
	return p
}

func (n *Notice) payloadAlert(a *Alert) PayloadAlert {
	out := PayloadAlert{Status: a.State, Labels: a.Labels, Annotations: Annotations(a), StartsAt: a.Since, GeneratorURL: n.Link(a), Fingerprint: a.ID}
	if a.ResolvedAt != nil {
		out.EndsAt = *a.ResolvedAt
	}
	return out
}

// Annotations are what an alert says besides its labels.
func Annotations(a *Alert) map[string]string {
	out := map[string]string{"summary": a.Summary}
	if a.Value != nil {
		if text, err := json.Marshal(*a.Value); err == nil {
			out["value"] = string(text)
		}
	}
	return out
}

func common(alerts []PayloadAlert, of func(*PayloadAlert) map[string]string) map[string]string {
	if len(alerts) == 0 {
		return map[string]string{}
	}
	out := maps.Clone(of(&alerts[0]))
	for i := range alerts {
		for k, v := range out {
			if of(&alerts[i])[k] != v {
				delete(out, k)
			}
		}
	}
	return out
}

func orEmptyMap(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
