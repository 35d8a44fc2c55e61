// Package held is the session that the user's configuration holds: it gives
// requests their token, and refreshes it when its time is over.
//
// Of several processes that find a token expired, one refreshes it under the
// configuration's lock and the others take what it got.
package held

import (
	"context"
	"errors"
	"sync"
	"time"

	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// early is how long before its end a token is renewed, so that it does not end
// on the way.
const early = 10 * time.Second

// Session is a client.Session.
type Session struct {
	store settings.Store
	plain *client.Client // asks as nobody
	now   func() time.Time

	mu  sync.Mutex
	cur settings.Session
}

// New is the session s of a store; plain refreshes it.
func New(store settings.Store, s settings.Session, plain *client.Client, now func() time.Time) *Session {
	return &Session{store: store, cur: s, plain: plain, now: now}
}

// Token is the access token, renewed when it is about to end.
func (h *Session) Token(ctx context.Context) (sensitive.Bytes, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cur.AccessExpires.IsZero() || h.now().Add(early).Before(h.cur.AccessExpires) {
		return h.cur.AccessToken, nil
	}
	return h.renew(ctx)
}

// Renew replaces a token that the server does not take any more.
func (h *Session) Renew(ctx context.Context, stale sensitive.Bytes) (sensitive.Bytes, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !stale.Equal(h.cur.AccessToken) {
		return h.cur.AccessToken, nil
	}
	return h.renew(ctx)
}

func (h *Session) renew(ctx context.Context) (sensitive.Bytes, error) {
	fresh, err := h.store.Refresh(ctx, h.cur, func(ctx context.Context, s settings.Session) (settings.Session, error) {
		t, err := h.plain.RefreshSession(ctx, s.RefreshToken)
		if err != nil {
			return settings.Session{}, err
		}
		return Stored(t, h.plain.Address(), h.now()), nil
	})
	if err != nil && fresh.AccessToken.Len() == 0 {
		var e *client.Error
		if errors.As(err, &e) && e.Kind == errs.Unauthenticated {
			return sensitive.Bytes{}, &client.Error{Status: e.Status, Kind: e.Kind, Code: e.Code, Message: "the session is over", RequestID: e.RequestID}
		}
		return sensitive.Bytes{}, err
	}
	h.cur = fresh // valid even when it could not be kept
	return fresh.AccessToken, nil
}

// Stored is a session as it is kept. Its times are by this machine's clock.
func Stored(t client.Tokens, address string, now time.Time) settings.Session {
	return settings.Session{Address: address, User: t.User, AccessToken: t.Access, AccessExpires: now.Add(t.ExpiresIn),
		RefreshToken: t.Refresh, RefreshExpires: t.RefreshExpires}
}
