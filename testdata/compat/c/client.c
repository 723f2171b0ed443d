/* client ACCOUNT ISSUER: every call of liboidc-agent 4 once, and what came of it. Built and run by TestCompat. Each asks
 * for something else, so that it does not matter what an agent caches. */
#include <oidc-agent/api.h>
#include <stdio.h>
#include <string.h>

static void one_line(const char *text)
{
	for (; text && *text && *text != '\n'; text++) putchar(*text);
	putchar('\n');
}

static void token(const char *call, char *t)
{
	printf("%s: ", call);
	if (t == NULL) {
		one_line(oidcagent_serror());
		return;
	}
	one_line(t);
	secFree(t);
}

static void response(const char *call, struct token_response r)
{
	printf("%s: ", call);
	if (r.token == NULL) {
		one_line(oidcagent_serror());
		return;
	}
	printf("%s %s %ld\n", r.token, r.issuer, (long)r.expires_at);
	secFreeTokenResponse(r);
}

static void answer(const char *call, struct agent_response r)
{
	printf("%s: ", call);
	if (r.type == AGENT_RESPONSE_TYPE_TOKEN) {
		printf("%s %s %ld\n", r.token_response.token, r.token_response.issuer, (long)r.token_response.expires_at);
	} else {
		one_line(r.error_response.error);
	}
	secFreeAgentResponse(r);
}

int main(int argc, char **argv)
{
	const char *hint = "client", *aud = "https://se.example.org";
	if (argc != 3) {
		fprintf(stderr, "usage: client ACCOUNT ISSUER\n");
		return 64;
	}
	const char *name = argv[1], *iss = argv[2];
	token("getAccessToken", getAccessToken(name, 60, NULL));
	token("getAccessToken with scope", getAccessToken(name, 0, "storage.read:/c1"));
	token("getAccessToken2", getAccessToken2(name, 0, NULL, hint));
	token("getAccessToken3", getAccessToken3(name, 0, "storage.read:/c3", hint, aud));
	token("getAccessTokenForIssuer", getAccessTokenForIssuer(iss, 0, NULL, hint));
	token("getAccessTokenForIssuer3", getAccessTokenForIssuer3(iss, 0, "storage.read:/c4", hint, aud));
	response("getTokenResponse", getTokenResponse(name, 0, NULL, hint));
	response("getTokenResponse3", getTokenResponse3(name, 0, "storage.read:/c5", hint, aud));
	response("getTokenResponseForIssuer", getTokenResponseForIssuer(iss, 0, NULL, hint));
	response("getTokenResponseForIssuer3", getTokenResponseForIssuer3(iss, 0, "storage.read:/c6", hint, aud));
	answer("getAgentTokenResponse", getAgentTokenResponse(name, 0, NULL, hint, NULL));
	answer("getAgentTokenResponseForIssuer", getAgentTokenResponseForIssuer(iss, 0, NULL, hint, NULL));
	return 0;
}
