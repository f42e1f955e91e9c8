/* Runs a fuzz target over its corpus, once: replay DIRECTORY.
 *
 * Linked with a target instead of libFuzzer, so that every build runs what
 * fuzzing has found, under any compiler and sanitizer. An input that crashes
 * the target ends this program; its name is the last line of the output.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX (16U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Gives the target exactly the bytes of fd: one more would hide an overrun
 * from the sanitizers. Returns 0 or -errno. */
static int replay(int fd)
{
	struct stat st;
	size_t size = 0;
	ssize_t n = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > INPUT_MAX)
		return -EINVAL;
	uint8_t *data = malloc((size_t)st.st_size);
	if (data == NULL && st.st_size > 0)
		return -ENOMEM;
	while (size < (size_t)st.st_size &&
	       (n = read(fd, data + size, (size_t)st.st_size - size)) > 0)
		size += (size_t)n;
	int r = n < 0 ? -errno : 0;
	if (r == 0)
		(void)LLVMFuzzerTestOneInput(data, size);
	free(data);
	return r;
}

/* Returns how many inputs there were, or -errno, said. */
static int replay_directory(const char *path)
{
	struct dirent *entry;
	int n = 0, r = 0;

	DIR *dir = opendir(path);
	if (dir == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return -errno;
	}
	while (r == 0 && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		printf("%s/%s\n", path, entry->d_name);
		int fd =
			openat(dirfd(dir), entry->d_name, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : replay(fd);
		if (fd >= 0)
			close(fd);
		n++;
	}
	closedir(dir);
	if (r < 0)
		fprintf(stderr, "cannot read it: %s\n", strerror(-r));
	return r < 0 ? r : n;
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	int n = replay_directory(argv[1]);
	if (n < 0)
		return 1;
	/* an empty corpus is no test: tests/run takes 0 checks for a failure */
	printf("100%%: Checks: %d, Failures: 0, Errors: 0\n", n);
	return 0;
}
