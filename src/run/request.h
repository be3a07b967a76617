/* A command that needs other threads: it travels by mail and runs a step wherever it arrives.
 *
 * admin/ embeds struct request at the start of its own; run/ only carries it. Whoever holds it owns
 * it: request_send gives it away. Every request comes home in the end, where its last step frees
 * it; the client it answers may be gone by then.
 */
#pragma once

struct process;

struct request {
    /* Runs on the thread it was sent to. `here` is that thread's struct shard, struct elector, or
     * main's context. Takes the request: sends it on or frees it. */
    void (*step)(struct request *request, void *here);
    /* Frees it, unanswered: it was on its way when the threads ended. Thread: main. */
    void (*drop)(struct request *request);
};

/* Mails it to thread `to` (process.h). Takes the request. Thread: `from`. */
void request_send(struct process *p, unsigned from, unsigned to, struct request *request);
