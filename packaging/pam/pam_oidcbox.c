/*
 * pam_oidcbox: ask for an access token or a one-time password and let oidcbox-pam judge it.
 *
 *   auth    sufficient pam_oidcbox.so [helper=/path/to/oidcbox-pam] [config=FILE] [options of oidcbox-pam]
 *   account required   pam_oidcbox.so [the same]
 *
 * Unlike pam_exec it gives the helper the whole secret. It parses nothing: its options go to the helper as they stand,
 * the secret goes through a pipe, and the helper's exit code is the answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define PROMPT "Access Token:" /* clients compare with it: no blank behind it */
#define MAX_ARGS 32
#define WAIT_MS 5000           /* the helper itself ends after 3000; HELPER is the Makefile's */
#define ITEMS 3
static const int items[ITEMS] = {PAM_USER, PAM_SERVICE, PAM_RHOST};
static const char *const names[ITEMS] = {"PAM_USER", "PAM_SERVICE", "PAM_RHOST"};

/* Only what may be called between fork and exec. */
static void become_helper(char *const argv[], char *const envp[], int in)
{
	int fd, null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(in, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
		_exit(126);
	for (fd = 3; fd < 65536 && syscall(SYS_close_range, fd, ~0U, 0U) < 0; fd++)
		close(fd); /* before Linux 5.9 */
	if (chdir("/") < 0 || setgid(getegid()) < 0 || setuid(geteuid()) < 0)
		_exit(126);
	execve(argv[0], argv, envp);
	_exit(127);
}

/* The exit code of the helper, -1 when it had to be ended or did not end by itself. */
static int await(pid_t pid)
{
	const struct timespec pause = {0, 2 * 1000 * 1000};
	int status, ms;

	for (ms = 0; ms < WAIT_MS; ms += 2) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (got < 0 && errno != EINTR)
			return -1;
		nanosleep(&pause, NULL);
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

static int run_helper(char *const argv[], char *const envp[], const char *secret, size_t length)
{
	/* The application may ignore its children, and then there would be no exit code. */
	struct sigaction usual = {.sa_handler = SIG_DFL}, before;
	int fds[2], code = -1;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	/* A pipe holds 64 KiB without a reader: a helper that dies cannot stop us with SIGPIPE. More is no secret. */
	if (write(fds[1], secret, length) != (ssize_t)length || fcntl(fds[0], F_SETFL, 0) < 0)
		return close(fds[0]), close(fds[1]), -1;
	close(fds[1]);
	sigaction(SIGCHLD, &usual, &before);
	pid = fork();
	if (pid == 0)
		become_helper(argv, envp, fds[0]);
	if (pid > 0)
		code = await(pid);
	sigaction(SIGCHLD, &before, NULL);
	close(fds[0]);
	return code;
}

static int ask(pam_handle_t *pamh, const char *phase, const char *secret, int argc, const char **argv)
{
	char env[ITEMS + 1][512], *envp[ITEMS + 2] = {0}, *args[MAX_ARGS + 3] = {0};
	char helper[] = HELPER, whole[] = "--whole";
	size_t i, n, used = 2;
	int code;

	snprintf(env[0], sizeof env[0], "PAM_TYPE=%s", phase);
	for (envp[0] = env[0], i = 0, n = 1; i < ITEMS; i++) {
		const void *value = NULL;
		if (pam_get_item(pamh, items[i], &value) != PAM_SUCCESS || value == NULL)
			continue;
		if (snprintf(env[n], sizeof env[n], "%s=%s", names[i], (const char *)value) >= (int)sizeof env[n])
			return PAM_AUTH_ERR;
		envp[n] = env[n], n++;
	}
	args[0] = helper, args[1] = whole;
	for (; argc > 0; argc--, argv++) {
		if (strncmp(*argv, "helper=/", 8) == 0)
			args[0] = (char *)*argv + 7;
		else if (used < MAX_ARGS + 2)
			args[used++] = (char *)*argv;
		else
			return PAM_SERVICE_ERR;
	}
	code = run_helper(args, envp, secret, strlen(secret));
	if (code >= 126 || code < 0)
		pam_syslog(pamh, LOG_ERR, "%s cannot be run, or gives no answer", args[0]);
	return code == 0 ? PAM_SUCCESS : PAM_AUTH_ERR;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	const char *user = NULL;
	char *secret = NULL;
	int rc = pam_get_user(pamh, &user, NULL);

	(void)flags;
	if (rc == PAM_SUCCESS)
		rc = pam_prompt(pamh, PAM_PROMPT_ECHO_OFF, &secret, "%s", PROMPT);
	if (rc != PAM_SUCCESS || secret == NULL)
		return rc != PAM_SUCCESS ? rc : PAM_CONV_ERR;
	rc = PAM_AUTH_ERR;
	if (*secret != '\0')
		rc = ask(pamh, "auth", secret, argc, argv);
	explicit_bzero(secret, strlen(secret));
	free(secret);
	return rc;
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	return (void)flags, ask(pamh, "account", "", argc, argv) == PAM_SUCCESS ? PAM_SUCCESS : PAM_PERM_DENIED;
}

/* sshd sets credentials in another process than the one that asked: there is nothing to set, and nothing to refuse. */
int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	return (void)pamh, (void)flags, (void)argc, (void)argv, PAM_SUCCESS;
}
