package settings

import (
	"encoding/json"
	"slices"

	"countersign/internal/sensitive"
)

// The field "devices" maps "ADDRESS ACCOUNT/USER" to the token by which a server
// knows again that the user signed in from here before. It outlives sessions.

// maxDevices bounds the field; the oldest make place.
const maxDevices = 20

func deviceName(address, account, user string) (string, bool) {
	a, err := canonical(address)
	return a + " " + account + "/" + user, err == nil
}

func (g Global) devices() object {
	i := g.kept.find("devices")
	if i < 0 {
		return nil
	}
	o, err := parseObject(g.kept[i].raw.Reveal())
	if err != nil {
		return nil // a device that is not known is no loss
	}
	return o
}

// Device is the token by which a server knows this client, empty when it does
// not.
func (g Global) Device(address, account, user string) (token sensitive.Bytes) {
	n, ok := deviceName(address, account, user)
	if !ok || g.devices().secret(n, &token) != nil {
		return sensitive.Bytes{}
	}
	return token
}

// SetDevice keeps such a token.
func (g *Global) SetDevice(address, account, user string, token sensitive.Bytes) {
	n, ok := deviceName(address, account, user)
	if !ok {
		return
	}
	o := slices.Clone(g.devices())
	o.setRaw(n, nil)
	raw, err := json.Marshal(string(token.Reveal()))
	if err != nil {
		return // a string always encodes
	}
	o.setRaw(n, raw)
	if len(o) > maxDevices {
		o = o[len(o)-maxDevices:]
	}
	all, err := o.encode()
	if err != nil {
		return // its parts were JSON
	}
	g.kept = slices.Clone(g.kept)
	g.kept.setRaw("devices", all)
}
