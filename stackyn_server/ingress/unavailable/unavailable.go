// Package unavailable answers for an API that can't be reached, in the form of its own errors: JSON, a request id,
// and the cross-origin headers without which a browser would not show them. Traefik interprets it (a local plugin).
package unavailable

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// Config has the origins whose pages may read the answer; "*" is every one.
type Config struct {
	Origins []string `json:"origins,omitempty"`
}

// CreateConfig is what Traefik fills in.
func CreateConfig() *Config { return &Config{} }

type handler struct{ origins []string }

// New makes the middleware. It answers itself: next is never asked.
func New(_ context.Context, _ http.Handler, config *Config, _ string) (http.Handler, error) {
	return &handler{origins: config.Origins}, nil
}

func (h *handler) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	random := make([]byte, 16)
	_, _ = rand.Read(random)
	id := hex.EncodeToString(random)
	body, _ := json.Marshal(map[string]string{
		"error":      "The service can't be reached at the moment. Try again in a few seconds.",
		"code":       "TEMPORARILY_UNAVAILABLE",
		"request_id": id,
	})
	header := answer.Header()
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Retry-After", "5")
	header.Set("X-Request-ID", id)
	header.Set("Vary", "Origin")
	header.Set("Access-Control-Expose-Headers", "X-Request-ID, Retry-After")
	if origin := h.allowed(request.Header.Get("Origin")); origin != "" {
		header.Set("Access-Control-Allow-Origin", origin)
	}
	answer.WriteHeader(http.StatusServiceUnavailable)
	_, _ = answer.Write(body)
}

func (h *handler) allowed(asking string) string {
	for _, origin := range h.origins {
		if origin == "*" || origin == asking {
			return origin
		}
	}
	if len(h.origins) > 0 {
		return h.origins[0]
	}
	return ""
}
