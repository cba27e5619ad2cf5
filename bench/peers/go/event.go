package main

// Event is one line of JSON. Stream and seq are put in front by the journal, which alone knows them.
type Event struct {
	ID          string      `json:"id"`
	Event       string      `json:"event"`
	Lane        string      `json:"lane,omitempty"`
	Reason      string      `json:"reason,omitempty"`
	Timestamp   string      `json:"timestamp"`
	ReceivedAt  string      `json:"received_at"`
	Environment string      `json:"environment,omitempty"`
	Source      string      `json:"source"`
	Dimensions  Dimensions  `json:"dimensions"`
	Metrics     *Metrics    `json:"metrics,omitempty"`
	Properties  *Properties `json:"properties,omitempty"`
	Context     Context     `json:"context"`
	Flags       []string    `json:"flags,omitempty"`
}

// Dimensions are the text fields of both routes.
type Dimensions struct {
	Campaign string `json:"campaign,omitempty"`
	Creative string `json:"creative,omitempty"`
	Site     string `json:"site,omitempty"`
	Currency string `json:"currency,omitempty"`
}

// Metrics are the numbers of an impression. Zero is a price, so absence is nil.
type Metrics struct {
	PriceMicros int64  `json:"price_micros"`
	CostNanos   *int64 `json:"cost_nanos,omitempty"`
}

// Properties of a bad event: which field was wrong.
type Properties struct {
	Field string `json:"field"`
}

// Context says where a hit came from, as far as it may be kept.
type Context struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Referer   string `json:"referer,omitempty"`
	Locale    string `json:"locale,omitempty"`
}

func (e *Event) flag(name string) {
	for _, known := range e.Flags {
		if known == name {
			return
		}
	}
	e.Flags = append(e.Flags, name)
}

// spoil moves the event to the bad lane; the first reason stays.
func (e *Event) spoil(reason, field string) {
	if e.Lane == "" {
		e.Lane, e.Reason, e.Properties = "bad", reason, &Properties{Field: field}
	}
}
