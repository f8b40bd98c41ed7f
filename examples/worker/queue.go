package main

import (
	"time"

	"github.com/tideway-go/tideway/layers"
)

// queue is where pictures wait for a worker, and where they go when workers have failed at them too often.
const queue = "thumbnails"

// durables declares the queue. Site and workers declare it alike.
var durables = []layers.Durable{{
	Queues:   queue,
	Capacity: 100,             // 90 MB at most; above it the site says that there is too much to do
	MaxAge:   time.Hour,       // whoever asked has long gone
	Lease:    5 * time.Second, // how long the death of a worker goes unnoticed
}}

// sizes are the squares that thumbnails fit into, in pixels, in the order in which they are made.
var sizes = []int{48, 96, 192, 320}

// A picture is a job: thumbnails to make, and who wants to hear of them.
type picture struct {
	ReplyTo string `json:"reply_to"` // the channel that asked
	ID      string `json:"id"`       // the page's own
	Name    string `json:"name"`     // for whoever looks at dead letters
	Data    []byte `json:"data"`     // the file
}

// A report is what the page hears of a picture: from a worker as often as it has something to show, or from the site when
// it refuses it. A job may run twice, so a page hears the same again and replaces what it has.
type report struct {
	ID        string     `json:"id"`
	Worker    string     `json:"worker,omitempty"` // the process that has the job
	Thumbnail *thumbnail `json:"thumbnail,omitempty"`
	Error     string     `json:"error,omitempty"` // why there will be none: a sentence for whoever looks at the page
}

// A thumbnail is one result. In the JSON that the page gets, PNG is base64.
type thumbnail struct {
	Size   int    `json:"size"` // one of sizes
	Width  int    `json:"width"`
	Height int    `json:"height"`
	PNG    []byte `json:"png"`
}

const (
	thumbnailsWanted layers.Type[picture] = "thumbnails.wanted"
	thumbnailsReport layers.Type[report]  = "thumbnails.report"
)
