package notices

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

func (b *bed) wantsEnds(user, momID string) string {
	b.t.Helper()
	code, err := b.subscribe(b.t.Context(), user, subscription{
		classes: []string{desk.ClassExpiration}, wide: momID == "", momID: momID,
	})
	must(b.t, err)
	return code
}

// announced moves the clock on by steps of an hour and returns how many hours before the end each mail came.
func (b *bed) announced(t ledger.Token, hours int) (before []int) {
	b.t.Helper()
	for range hours {
		b.clock.move(time.Hour)
		for _, m := range b.sends() {
			if !strings.Contains(m.Subject, "expire") {
				b.t.Errorf("subject %q", m.Subject)
			}
			before = append(before, int(t.Expires.Sub(b.clock.now())/time.Hour))
		}
	}
	return before
}

func TestSchedule(t *testing.T) {
	for name, c := range map[string]struct {
		life time.Duration
		want []int
	}{
		"a_year":                       {365 * day, []int{720, 336, 168, 72, 24, 3, 0}},
		"sixty_days":                   {60 * day, []int{720, 336, 168, 72, 24, 3, 0}},
		"just_below_sixty_days":        {60*day - time.Hour, []int{336, 168, 72, 24, 3, 0}},
		"a_week":                       {7 * day, []int{72, 24, 3, 0}},
		"a_day":                        {day, []int{3, 0}},
		"six_hours_step_at_its_half":   {6 * time.Hour, []int{3, 0}},
		"five_hours":                   {5 * time.Hour, []int{0}},
		"two_hours_said_when_it_ended": {2 * time.Hour, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.verified("alice", "alice@example.org")
			b.wantsEnds("alice", "")
			tok := b.mt("alice", "m1", c.life)
			if got := b.announced(tok, int(c.life/time.Hour)+48); !slices.Equal(got, c.want) {
				t.Errorf("announced %v hours before the end, want %v", got, c.want)
			}
		})
	}
}

func TestScheduleFacts(t *testing.T) {
	setup := func(t *testing.T) (*bed, ledger.Token) {
		b := newBed(t)
		b.verified("alice", "alice@example.org")
		return b, b.mt("alice", "m1", 100*day)
	}
	t.Run("after_a_downtime_only_the_latest_step", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "m1")
		b.clock.move(98*day + time.Hour) // 30, 14, 7 and 3 days were missed
		if got := b.sends(); len(got) != 1 || got[0].Subject != "Mytoken 'job of alice' expires in 2 days" {
			t.Errorf("%v", subjects(got))
		}
		b.clock.move(30 * day)
		if got := b.sends(); len(got) != 0 {
			t.Errorf("weeks after the end: %v", subjects(got))
		}
	})
	t.Run("nothing_that_was_due_before_the_subscription", func(t *testing.T) {
		b, _ := setup(t)
		b.clock.move(98 * day)
		b.wantsEnds("alice", "m1")
		if got := b.sends(); len(got) != 0 {
			t.Errorf("%v", subjects(got))
		}
		b.clock.move(day)
		if got := b.sends(); len(got) != 1 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("two_notifications_one_mail", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "m1")
		b.wantsEnds("alice", "")
		b.clock.move(71 * day)
		if got := b.sends(); len(got) != 1 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("children_only_when_asked", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "m1")
		b.mt("alice", "child", 100*day, func(t *ledger.Token) { t.Path = []string{"m1"} })
		b.clock.move(71 * day)
		if got := b.sends(); len(got) != 1 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("revoked_or_of_somebody_else", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "")
		b.people.all[0].Condition = ledger.Ended
		b.mt("bob", "m2", 100*day)
		b.clock.move(71 * day)
		if got := b.sends(); len(got) != 0 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("a_longer_life_is_announced_again", func(t *testing.T) {
		b, tok := setup(t)
		b.wantsEnds("alice", "")
		b.clock.move(71 * day)
		b.people.all[0].Expires = tok.Expires.Add(20 * day)
		first := b.sends()
		b.clock.move(20 * day)
		if got := b.sends(); len(first) != 0 || len(got) != 1 {
			t.Errorf("%v, then %v", subjects(first), subjects(got))
		}
	})
	t.Run("rotation_by_the_day_is_no_news", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "")
		for range 60 {
			b.people.all[0].Expires = b.clock.now().Add(day)
			b.people.all[0].Rotation = &mytoken.Rotation{Lifetime: day}
			b.clock.move(12 * time.Hour)
			if got := b.sends(); len(got) != 0 {
				t.Fatalf("%v", subjects(got))
			}
		}
	})
	t.Run("muted_by_its_link", func(t *testing.T) {
		b, _ := setup(t)
		b.wantsEnds("alice", "")
		b.clock.move(71 * day)
		got := b.sends()
		if len(got) != 1 {
			t.Fatal(subjects(got))
		}
		must(t, b.act(t.Context(), forMuting, codeOf(t, got[0].Unsubscribe)))
		b.clock.move(28 * day)
		if got := b.sends(); len(got) != 0 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("no_room_today_said_tomorrow", func(t *testing.T) {
		b, _ := setup(t)
		b.o.Limits.PerDay = 3
		for i := range 4 {
			b.mt("alice", fmt.Sprint("more", i), 100*day)
		}
		b.wantsEnds("alice", "")
		b.clock.move(71 * day)
		today := len(b.sends())
		b.clock.move(day)
		if tomorrow := len(b.sends()); today != 3 || tomorrow != 2 {
			t.Errorf("%d mails, then %d", today, tomorrow)
		}
	})
}

// Three servers see at the same time that a step is due, without any of them being the sender: one mail.
func TestAnnouncedOnce(t *testing.T) {
	b := newBed(t)
	b.verified("alice", "alice@example.org")
	b.wantsEnds("alice", "")
	for i := range 20 {
		b.mt("alice", fmt.Sprint("m", i), 100*day)
	}
	b.clock.move(71 * day)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := b.schedule(t.Context(), b.held); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := b.sends(); len(got) != 20 {
		t.Errorf("%d mails", len(got))
	}
}

func TestAtMostOnce(t *testing.T) {
	setup := func(t *testing.T) *bed {
		b := newBed(t)
		b.verified("alice", "alice@example.org")
		b.wantsEnds("alice", "")
		b.mt("alice", "m1", 100*day)
		b.clock.move(71 * day)
		return b
	}
	t.Run("answer_lost", func(t *testing.T) {
		b := setup(t)
		calls := 0
		b.post.fail = func(mail.Message) error {
			calls++
			return &mail.Error{Stage: "message", Unknown: true}
		}
		for range 10 {
			b.sends()
			b.clock.move(time.Hour)
		}
		if calls != 1 || b.counts["unknown"] != 1 {
			t.Errorf("handed over %d times, %v", calls, b.counts)
		}
	})
	t.Run("sender_died_with_it_in_hand", func(t *testing.T) {
		b := setup(t)
		must(t, b.schedule(t.Context(), b.held))
		all, err := b.due(t.Context(), b.held)
		must(t, err)
		if _, err := b.claim(t.Context(), b.held, all[0]); err != nil {
			t.Fatal(err)
		}
		must(t, b.held.Release(t.Context()))
		b.held, err = b.eng.Lease(t.Context(), leaseName, 100*365*day)
		must(t, err)
		if got := b.sends(); len(got) != 0 || b.counts["unknown"] != 1 {
			t.Errorf("%v, %v", subjects(got), b.counts)
		}
		if got := b.sends(); len(got) != 0 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("a_sender_that_lost_its_lease_sends_nothing", func(t *testing.T) {
		b := setup(t)
		must(t, b.schedule(t.Context(), b.held))
		must(t, b.held.Release(t.Context()))
		if err := b.turn(t.Context(), b.held); err == nil || len(b.post.take()) != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("refused_before_its_text_is_tried_again", func(t *testing.T) {
		b := setup(t)
		fail := true
		b.post.fail = func(mail.Message) error {
			if fail {
				return &mail.Error{Stage: "recipient", Code: 451}
			}
			return nil
		}
		first := b.sends()
		fail = false
		b.clock.move(time.Hour)
		if got := b.sends(); len(first) != 0 || len(got) != 1 {
			t.Errorf("%v, then %v", subjects(first), subjects(got))
		}
	})
	t.Run("other_mails_are_sent_again_under_the_same_id", func(t *testing.T) {
		b := newBed(t)
		var ids []string
		b.post.fail = func(m mail.Message) error {
			if ids = append(ids, m.ID); len(ids) == 1 {
				return &mail.Error{Stage: "message", Unknown: true}
			}
			return nil
		}
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
		b.sends()
		b.clock.move(10 * time.Minute)
		if got := b.sends(); len(got) != 1 || len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("%v %v", subjects(got), ids)
		}
	})
}

func TestOutbox(t *testing.T) {
	event := desk.Notice{User: "alice", MOMID: "m1", Name: "job", Class: desk.ClassRevoked}
	setup := func(t *testing.T) *bed {
		b := newBed(t)
		b.verified("alice", "alice@example.org")
		b.mt("alice", "m1", 0)
		_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, wide: true})
		must(t, err)
		return b
	}
	t.Run("mail_server_down_for_a_day", func(t *testing.T) {
		b := setup(t)
		b.post.open = &mail.Error{Stage: "connect"}
		b.tell(event)
		for range 24 * 60 {
			b.sends()
			b.clock.move(time.Minute)
		}
		if b.post.opens < 10 || b.post.opens > 60 {
			t.Errorf("asked %d times in a day", b.post.opens)
		}
		b.post.open = nil
		b.clock.move(time.Hour)
		if got := b.sends(); len(got) != 1 {
			t.Errorf("%v", subjects(got))
		}
	})
	t.Run("given_up_after_two_days", func(t *testing.T) {
		b := setup(t)
		b.post.fail = func(mail.Message) error { return &mail.Error{Stage: "recipient", Code: 452} }
		b.tell(event)
		for range 60 {
			b.sends()
			b.clock.move(time.Hour)
		}
		b.post.fail = nil
		if got := b.sends(); len(got) != 0 || b.counts["given up"] != 1 {
			t.Errorf("%v %v", subjects(got), b.counts)
		}
	})
	t.Run("refused_for_good_is_not_tried_again", func(t *testing.T) {
		b := setup(t)
		calls := 0
		b.post.fail = func(mail.Message) error {
			calls++
			return &mail.Error{Stage: "recipient", Code: 550, Permanent: true}
		}
		b.tell(event)
		for range 5 {
			b.sends()
			b.clock.move(time.Hour)
		}
		if calls != 1 || b.counts["refused"] != 1 {
			t.Errorf("%d calls, %v", calls, b.counts)
		}
	})
	t.Run("full", func(t *testing.T) {
		b := setup(t)
		b.o.Limits.Outbox = 2
		b.post.open = &mail.Error{Stage: "connect"}
		for range 5 {
			b.tell(event)
			b.sender.again = time.Time{}
			b.sends()
		}
		b.post.open, b.sender.again = nil, time.Time{}
		if got := b.sends(); len(got) != 2 {
			t.Errorf("%d mails", len(got))
		}
	})
	t.Run("queue_full_never_blocks", func(t *testing.T) {
		b := setup(t)
		for range queueSize + 10 {
			b.Notice(t.Context(), event)
		}
		if b.dropped.Load() != 10 || b.counts["notice lost"] != 10 {
			t.Errorf("%d dropped", b.dropped.Load())
		}
	})
}
