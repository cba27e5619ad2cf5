package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
)

// ids makes UUIDv7 (RFC 9562, 5.7; counter by 6.2, method 1). Randomness is drawn 512 ids at a time.
type ids struct {
	mu     sync.Mutex
	lastMs int64
	count  uint16
	pool   [512 * 8]byte
	used   int
}

func newIDs() *ids {
	return &ids{used: 512 * 8}
}

func (d *ids) next(unixMs int64) string {
	var raw [16]byte
	d.mu.Lock()
	if d.used == len(d.pool) {
		rand.Read(d.pool[:])
		d.used = 0
	}
	copy(raw[8:], d.pool[d.used:d.used+8])
	d.used += 8
	if unixMs > d.lastMs {
		d.lastMs, d.count = unixMs, 0
	} else if d.count++; d.count == 1<<12 {
		d.lastMs, d.count = d.lastMs+1, 0
	}
	ms, count := d.lastMs, d.count
	d.mu.Unlock()

	binary.BigEndian.PutUint64(raw[:], uint64(ms)<<16|uint64(count))
	raw[6] = raw[6]&0x0f | 0x70
	raw[8] = raw[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], raw[0:4])
	hex.Encode(text[9:13], raw[4:6])
	hex.Encode(text[14:18], raw[6:8])
	hex.Encode(text[19:23], raw[8:10])
	hex.Encode(text[24:36], raw[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
