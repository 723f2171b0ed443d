package mytoken

import (
	"context"
	"net/http"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Tag is a mark that a person puts on mytokens.
type Tag struct{ Name, Color string }

// Tags lists the tags of the person.
func (c *Client) Tags(ctx context.Context, mt secret.Text) ([]Tag, *Issued, error) {
	const op = "tags"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointSettings, target: c.tagURL(), method: http.MethodGet, ssh: sshCall{action: SSHTags},
	})
	if err != nil {
		return nil, update, err
	}
	list, err := listOf(a, "tags", func(o jose.Object) (t Tag, err error) {
		t.Color, _ = o.String("color")
		t.Name, err = o.String("tag")
		return t, err
	})
	if err != nil {
		return nil, update, c.bad(op, err)
	}
	return list, update, nil
}

func (c *Client) tagURL(more ...string) string {
	return below(c.server.SettingsEndpoint, append([]string{"tags"}, more...)...)
}

// AddTag makes a tag. The zero color is the server's choice.
func (c *Client) AddTag(ctx context.Context, mt secret.Text, t Tag) (*Issued, error) {
	q := call{op: "make a tag", endpoint: endpointSettings, target: c.tagURL(t.Name)}
	q.body.text("color", t.Color)
	q.ssh.action = SSHCreateTag
	q.ssh.body.put("tag", t.Name)
	q.ssh.body.text("color", t.Color)
	return c.changed(ctx, mt, q)
}

// ChangeTag gives a tag another name or color; what is "" stays.
func (c *Client) ChangeTag(ctx context.Context, mt secret.Text, name string, to Tag) (*Issued, error) {
	q := call{op: "change a tag", endpoint: endpointSettings, target: c.tagURL(name), method: http.MethodPut}
	q.body.text("tag", to.Name)
	q.body.text("color", to.Color)
	q.ssh.action = SSHUpdateTag
	q.ssh.body.put("tag", name)
	q.ssh.body.text("name", to.Name)
	q.ssh.body.text("color", to.Color)
	return c.changed(ctx, mt, q)
}

// RemoveTag deletes a tag.
func (c *Client) RemoveTag(ctx context.Context, mt secret.Text, name string) (*Issued, error) {
	q := call{op: "delete a tag", endpoint: endpointSettings, target: c.tagURL(name), method: http.MethodDelete}
	q.ssh.action = SSHDeleteTag
	q.ssh.body.put("tag", name)
	return c.changed(ctx, mt, q)
}

// Tagging puts a tag on a mytoken or takes it off: the one that is used, or that of MOMID.
type Tagging struct {
	Tag             string
	MOMID           string
	IncludeChildren bool
	Remove          bool
}

// Tag marks a mytoken.
func (c *Client) Tag(ctx context.Context, mt secret.Text, t Tagging) (*Issued, error) {
	q := call{op: "tag a mytoken", endpoint: "mytoken_endpoint", target: below(c.server.MytokenEndpoint, "tags")}
	q.ssh.action = SSHAddTag
	if t.Remove {
		q.method, q.ssh.action = http.MethodDelete, SSHRemoveTag
	}
	q.body.put("tag", t.Tag)
	q.body.text("mom_id", t.MOMID)
	q.body.flag("include_children", t.IncludeChildren)
	return c.changed(ctx, mt, q)
}
