package httpapi

func (a *API) exchange(c *Call) (Answer, error) { return Answer{}, unsupportedGrant() }
