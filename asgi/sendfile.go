package asgi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// sendFile sends a piece of an open file. From the file's own position it goes by sendfile(2) where the system and the
// connection have it; from an offset it is read, so that the position stays as it is.
func (x *exchange) sendFile(ctx context.Context, e HTTPResponseZeroCopySend) error {
	switch {
	case e.File == nil:
		return errors.New("field File is nil: send an open file")
	case e.Offset < -1:
		return fmt.Errorf("field Offset is %d: it must be -1 or more", e.Offset)
	case e.Count < 0:
		return fmt.Errorf("field Count is %d: it must be 0 or more", e.Count)
	}
	size, err := available(e)
	if err != nil {
		return err
	}
	return x.part(ctx, bodyPart{size: size, more: e.MoreBody, copyTo: func(w io.Writer) error {
		if e.Offset < 0 {
			return copyAll(w, e.File, size)
		}
		n := size
		if n < 0 {
			n = 1<<63 - 1 - e.Offset
		}
		return copyAll(w, io.NewSectionReader(e.File, e.Offset, n), size)
	}})
}

// available is how many bytes a piece has, or -1 if that shows only by reading.
func available(e HTTPResponseZeroCopySend) (int64, error) {
	info, err := e.File.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		if e.Count > 0 {
			return e.Count, nil
		}
		return -1, nil
	}
	offset := e.Offset
	if offset < 0 {
		if offset, err = e.File.Seek(0, io.SeekCurrent); err != nil {
			return 0, err
		}
	}
	left := max(info.Size()-offset, 0)
	if e.Count > left {
		return 0, fmt.Errorf("field Count is %d, but %s has %d bytes after offset %d", e.Count, e.File.Name(), left, offset)
	}
	if e.Count > 0 {
		return e.Count, nil
	}
	return left, nil
}

// copyAll copies size bytes, or all there are if size is -1.
func copyAll(w io.Writer, from io.Reader, size int64) error {
	if size < 0 {
		_, err := io.Copy(w, from)
		return err
	}
	n, err := io.Copy(w, io.LimitReader(from, size))
	if err == nil && n < size {
		err = fmt.Errorf("file ended after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	return err
}

// sendPath sends a whole file as the whole body.
func (x *exchange) sendPath(ctx context.Context, e HTTPResponsePathSend) error {
	switch {
	case !filepath.IsAbs(e.Path):
		return fmt.Errorf("field Path is %q: it must be absolute", e.Path)
	case x.phase == begun:
		return errors.New("a part of the body has been sent: send HTTPResponsePathSend alone")
	}
	file, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", e.Path)
	}
	return x.sendFile(ctx, HTTPResponseZeroCopySend{File: file, Offset: -1})
}
