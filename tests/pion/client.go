// A client with the Go stack Pion, as Debian packages it.
//
//	client ws://127.0.0.1:3000 --echoes 200 --flow 10000 --rate 1000
//
// It speaks to the program tally-server, and says in a line of JSON each what came of it: it
// connects and has messages echoed on both paths (echoed), waits for a line of its input, sends
// numbered messages over the data channel while as many of --bytes come back (flowed), and closes (closed):
// the websocket first, or with --close channel the peer connection. tests/all builds it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/webrtc"
)

const (
	size     = 200                    // bytes of a message that it sends
	pace     = 10 * time.Millisecond  // between two messages to be echoed
	patience = 10 * time.Second       // for whatever must come
	quiet    = 500 * time.Millisecond // without a message, after which no more come
)

// What was to be echoed on one path, and what was.
type echoes struct {
	name   string
	sent   []string
	echoed []string
}

func (e *echoes) next(number int) []byte {
	e.sent = append(e.sent, padded(fmt.Sprintf("%s %d ", e.name, number)))
	return []byte(e.sent[len(e.sent)-1])
}

func (e *echoes) complete() bool { return len(e.echoed) >= len(e.sent) }

func (e *echoes) result() map[string]any {
	sent, seen := map[string]bool{}, map[string]bool{}
	for _, message := range e.sent {
		sent[message] = true
	}
	strange, inOrder := 0, true
	for index, message := range e.echoed {
		seen[message] = true
		if !sent[message] {
			strange++
		}
		inOrder = inOrder && index < len(e.sent) && e.sent[index] == message
	}
	return map[string]any{
		"sent": len(e.sent), "echoed": len(e.echoed) - strange, "strange": strange,
		"duplicates": len(e.echoed) - len(seen), "inOrder": inOrder,
	}
}

type client struct {
	mutex      sync.Mutex // guards what follows; gorilla's one writer too
	reliable   echoes
	unreliable echoes
	arrived    int
	numbers    map[int]bool
	last       time.Time
	longest    time.Duration // between two
	began      time.Time
	heard      time.Duration // until the first unreliable echo

	socket  *websocket.Conn
	peer    *webrtc.PeerConnection
	channel chan *webrtc.DataChannel
	tally   chan json.RawMessage
	over    chan string
}

func newClient(url string) (*client, error) {
	socket, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		return nil, err
	}
	peer, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c := &client{
		reliable: echoes{name: "reliable"}, unreliable: echoes{name: "unreliable"},
		numbers: map[int]bool{}, socket: socket, peer: peer,
		channel: make(chan *webrtc.DataChannel, 1), tally: make(chan json.RawMessage, 1),
		over: make(chan string, 8),
	}
	peer.OnDataChannel(func(channel *webrtc.DataChannel) {
		channel.OnMessage(func(message webrtc.DataChannelMessage) { c.fresh(string(message.Data)) })
		channel.OnOpen(func() { c.channel <- channel })
		channel.OnClose(func() { c.end("channel closed") })
	})
	peer.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			_ = c.signal(map[string]any{"type": "ice", "candidate": candidate.ToJSON()})
		}
	})
	go c.read()
	return c, nil
}

func (c *client) end(why string) {
	select {
	case c.over <- why:
	default: // it is known already
	}
}

func (c *client) read() {
	for {
		kind, data, err := c.socket.ReadMessage()
		if err == nil && kind == websocket.TextMessage {
			err = c.signalled(data)
		} else if err == nil {
			c.received(string(data))
		}
		if err != nil {
			c.end(err.Error())
			return
		}
	}
}

func (c *client) signalled(data []byte) error {
	var message struct {
		Type      string
		SDP       string
		Candidate webrtc.ICECandidateInit
	}
	if err := json.Unmarshal(data, &message); err != nil {
		return err
	}
	switch message.Type {
	case "offer":
		return c.answer(message.SDP)
	case "candidate":
		return c.peer.AddICECandidate(message.Candidate)
	}
	return nil
}

func (c *client) answer(sdp string) error {
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp}
	if err := c.peer.SetRemoteDescription(offer); err != nil {
		return err
	}
	answer, err := c.peer.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := c.peer.SetLocalDescription(answer); err != nil {
		return err
	}
	return c.signal(map[string]any{"type": "answer", "sdp": answer.SDP})
}

func (c *client) signal(message any) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.socket.WriteJSON(message)
}

func (c *client) send(message []byte) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.socket.WriteMessage(websocket.BinaryMessage, message)
}

func (c *client) received(message string) {
	if tally, is := cutPrefix(message, "tally "); is {
		c.tally <- json.RawMessage(tally)
		return
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.reliable.echoed = append(c.reliable.echoed, message)
}

func (c *client) fresh(message string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	rest, is := cutPrefix(message, "numbered ")
	if !is {
		if len(c.unreliable.echoed) == 0 {
			c.heard = time.Since(c.began)
		}
		c.unreliable.echoed = append(c.unreliable.echoed, message)
		return
	}
	text, _, _ := strings.Cut(rest, " ")
	number, _ := strconv.Atoi(text)
	now := time.Now()
	if silence := now.Sub(c.last); c.arrived > 0 && silence > c.longest {
		c.longest = silence
	}
	c.arrived++
	c.numbers[number] = true
	c.last = now
}

func (c *client) echo(count int, channel *webrtc.DataChannel) (any, error) {
	c.mutex.Lock()
	c.began = time.Now()
	c.mutex.Unlock()
	for number := 0; number < count; number++ {
		c.mutex.Lock()
		reliable, unreliable := c.reliable.next(number), c.unreliable.next(number)
		c.mutex.Unlock()
		if err := c.send(reliable); err != nil {
			return nil, err
		}
		if err := channel.Send(unreliable); err != nil {
			return nil, err
		}
		time.Sleep(pace)
	}
	c.waitUntil(func() bool { return c.reliable.complete() && c.unreliable.complete() })
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return map[string]any{
		"channel": map[string]any{
			"label": channel.Label(), "ordered": channel.Ordered(),
			"maxRetransmits":    channel.MaxRetransmits(),
			"maxPacketLifeTime": channel.MaxPacketLifeTime(),
		},
		"reliable": c.reliable.result(), "unreliable": c.unreliable.result(),
		"heardMs": c.heard.Milliseconds(),
	}, nil
}

func (c *client) opened() (*webrtc.DataChannel, error) {
	select {
	case channel := <-c.channel:
		return channel, nil
	case why := <-c.over:
		return nil, errors.New(why)
	case <-time.After(patience):
		return nil, errors.New("no channel")
	}
}

func (c *client) flow(count, rate, bytes int, channel *webrtc.DataChannel) (any, error) {
	if err := c.send([]byte(fmt.Sprintf("begin %d %d %d", count, rate, bytes))); err != nil {
		return nil, err
	}
	began := time.Now()
	c.mutex.Lock()
	c.last = began
	c.mutex.Unlock()
	for number := 0; number < count; {
		due := int(time.Since(began).Seconds()*float64(rate)) + 1
		for ; number < due && number < count; number++ {
			if err := channel.Send([]byte(padded(fmt.Sprintf("numbered %d ", number)))); err != nil {
				return nil, err
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	sent := time.Since(began)
	c.waitUntil(func() bool { return time.Since(c.last) > quiet })
	if err := c.send([]byte("tally")); err != nil {
		return nil, err
	}
	up := <-c.tally
	c.mutex.Lock()
	defer c.mutex.Unlock()
	down := map[string]any{"arrived": c.arrived, "distinct": len(c.numbers), "longestMs": c.longest.Milliseconds()}
	return map[string]any{
		"sentMs": sent.Milliseconds(), "buffered": channel.BufferedAmount(), "up": up, "down": down,
	}, nil
}

func (c *client) waitUntil(holds func() bool) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(pace) {
		c.mutex.Lock()
		done := holds()
		c.mutex.Unlock()
		if done {
			return
		}
	}
}

func (c *client) close(first string) string {
	if first == "channel" {
		_ = c.peer.Close()
	} else {
		c.sayGoodbye()
	}
	why := <-c.over
	c.sayGoodbye()
	_ = c.peer.Close()
	_ = c.socket.Close()
	return why
}

// The server may hear this and nothing of the peer connection's end, which may be lost.
func (c *client) sayGoodbye() {
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.socket.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(patience))
}

func padded(text string) string { return text + strings.Repeat("#", size-len(text)) }

func cutPrefix(text, prefix string) (string, bool) {
	return strings.TrimPrefix(text, prefix), strings.HasPrefix(text, prefix)
}

func say(name string, what any) {
	line, _ := json.Marshal(map[string]any{name: what})
	fmt.Println(string(line))
}

func run() error {
	echoes := flag.Int("echoes", 200, "messages on each path")
	flow := flag.Int("flow", 10_000, "numbered messages each way")
	rate := flag.Int("rate", 1_000, "of them a second")
	bytes := flag.Int("bytes", size, "of one that comes back")
	first := flag.String("close", "websocket", "what is closed first, or channel")
	if len(os.Args) < 2 {
		return errors.New("client URL [OPTIONS]")
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		return err
	}
	c, err := newClient(os.Args[1])
	if err != nil {
		return err
	}
	return c.work(*echoes, *flow, *rate, *bytes, *first)
}

func (c *client) work(echoes, flow, rate, bytes int, first string) error {
	channel, err := c.opened()
	if err != nil {
		return err
	}
	echoed, err := c.echo(echoes, channel)
	if err != nil {
		return err
	}
	say("echoed", echoed)
	if !bufio.NewScanner(os.Stdin).Scan() {
		return errors.New("nobody says to go on")
	}
	flowed, err := c.flow(flow, rate, bytes, channel)
	if err != nil {
		return err
	}
	say("flowed", flowed)
	say("closed", c.close(first))
	return nil
}

func main() {
	time.AfterFunc(6*patience, func() { say("error", "too late"); os.Exit(1) })
	if err := run(); err != nil {
		say("error", err.Error())
		os.Exit(1)
	}
}
