package login

import "io"

// The question and its answer as they are on the socket, for who carries them further.

// WriteQuestion writes q as one line. The error is ErrQuestion, or that of w.
func WriteQuestion(w io.Writer, q Question) error { return q.write(w) }

// ReadQuestion reads one question, to the end of its line. The error is ErrQuestion.
func ReadQuestion(r io.Reader) (Question, error) { return readQuestion(r) }

// WriteAnswer writes a as one line.
func WriteAnswer(w io.Writer, a Answer) error { return a.write(w) }

// ReadAnswer reads one answer, to the end of its line. The error is ErrAnswer, and the answer a no with it.
func ReadAnswer(r io.Reader) (Answer, error) { return readAnswer(r) }
