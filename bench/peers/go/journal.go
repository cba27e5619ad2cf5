package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	bufferBytes = 64 << 10
	syncEvery   = 200 * time.Millisecond
)

// journal appends events to a file: buffered, written and synced every 200 ms, as the tracker syncs its own.
type journal struct {
	mu     sync.Mutex
	file   *os.File
	buffer *bufio.Writer
	front  []byte // {"stream":"...","seq":
	number []byte
	seq    uint64

	leave chan struct{}
	left  chan struct{}
}

func openJournal(path string) (*journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	var stream [16]byte
	rand.Read(stream[:])
	j := &journal{
		file:   file,
		buffer: bufio.NewWriterSize(file, bufferBytes),
		front:  []byte(`{"stream":"` + hex.EncodeToString(stream[:]) + `","seq":`),
		leave:  make(chan struct{}),
		left:   make(chan struct{}),
	}
	go j.syncLoop()
	return j, nil
}

var lines = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// append writes the event's line. It is encoded outside the lock; its place in the stream is put in front inside.
func (j *journal) append(event *Event) error {
	line := lines.Get().(*bytes.Buffer)
	defer lines.Put(line)
	line.Reset()
	encoder := json.NewEncoder(line) // Encode ends the line
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(event); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// A bufio.Writer remembers its first error and returns it ever after; the last Write tells.
	j.buffer.Write(j.front)
	j.number = append(strconv.AppendUint(j.number[:0], j.seq+1, 10), ',')
	j.buffer.Write(j.number)
	if _, err := j.buffer.Write(line.Bytes()[1:]); err != nil {
		return err
	}
	j.seq++
	return nil
}

func (j *journal) syncLoop() {
	defer close(j.left)
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	var synced uint64
	for {
		select {
		case <-ticker.C:
		case <-j.leave:
			return
		}
		j.mu.Lock()
		now, err := j.seq, j.buffer.Flush()
		j.mu.Unlock()
		if now == synced {
			continue
		}
		if err == nil {
			err = syscall.Fdatasync(int(j.file.Fd()))
		}
		if err != nil {
			log.Print("journal: ", err)
			continue
		}
		synced = now
	}
}

func (j *journal) close() error {
	close(j.leave)
	<-j.left
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.buffer.Flush(); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	return j.file.Close()
}
