/* A deck oven on libmodbus: the library's own encoders and its own refusals. One connection at a time is enough for it
 * to be strict; select() serves several.
 *
 *   modbus tcp            listens on a free port of 127.0.0.1
 *   modbus rtu DEVICE N   unit N on a serial port, 9600 8N1
 *
 * Says {"ready": {"port": ...}} and ends when its standard input does. A line "stop" on standard input closes every
 * connection and the listener, "start" listens on the same port again (a restart); each is answered with {"done": true}.
 *
 * Holding registers 0 to 199, of which 20 to 23 are not implemented: whoever reads over them is refused.
 *   0        185.3 as int16 x 10      1   the sentinel 32767          2, 3  -5 and 0xFFFF
 *   10..17   181.25 by modbus_set_float_abcd, _dcba, _badc, _cdab
 *   24, 25   70000 as uint32          30  0b1001                     40..44 "RYE"
 * Input registers 0 to 9: 100 + n. Coils 0 to 2100: every third. Discrete inputs 0 to 15: every second. */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static modbus_mapping_t *oven(void) {
    modbus_mapping_t *map = modbus_mapping_new(2101, 16, 200, 10);
    if (map == NULL) exit(1);
    map->tab_registers[0] = 1853;
    map->tab_registers[1] = 32767;
    map->tab_registers[2] = (uint16_t)-5;
    map->tab_registers[3] = 0xFFFF;
    modbus_set_float_abcd(181.25f, map->tab_registers + 10);
    modbus_set_float_dcba(181.25f, map->tab_registers + 12);
    modbus_set_float_badc(181.25f, map->tab_registers + 14);
    modbus_set_float_cdab(181.25f, map->tab_registers + 16);
    int32_t made = 70000;
    MODBUS_SET_INT32_TO_INT16(map->tab_registers, 24, made);
    map->tab_registers[30] = 9;
    map->tab_registers[40] = 'R' << 8 | 'Y';
    map->tab_registers[41] = 'E' << 8;
    for (int n = 0; n < 10; n++) map->tab_input_registers[n] = 100 + n;
    for (int n = 0; n < 2101; n++) map->tab_bits[n] = n % 3 == 0;
    for (int n = 0; n < 16; n++) map->tab_input_bits[n] = n % 2 == 0;
    return map;
}

static int unimplemented(modbus_t *ctx, const uint8_t *query) {
    const uint8_t *pdu = query + modbus_get_header_length(ctx);
    int start = pdu[1] << 8 | pdu[2], count = pdu[3] << 8 | pdu[4];
    return pdu[0] == MODBUS_FC_READ_HOLDING_REGISTERS && start < 24 && start + count > 20;
}

static void answer(modbus_t *ctx, modbus_mapping_t *map, const uint8_t *query, int length) {
    if (unimplemented(ctx, query))
        modbus_reply_exception(ctx, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
    else
        modbus_reply(ctx, query, length, map);
}

static void ready(int port) {
    printf("{\"ready\": {\"port\": %d}}\n", port);
    fflush(stdout);
}

static int listen_on(modbus_t **ctx, int port) {
    if (*ctx != NULL) modbus_free(*ctx);
    *ctx = modbus_new_tcp("127.0.0.1", port);
    int listener = *ctx == NULL ? -1 : modbus_tcp_listen(*ctx, 64);
    if (listener == -1) {
        fprintf(stderr, "listen: %s\n", modbus_strerror(errno));
        exit(1);
    }
    return listener;
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(probe, (struct sockaddr *)&address, size) || getsockname(probe, (struct sockaddr *)&address, &size)) exit(1);
    close(probe);
    return ntohs(address.sin_port);
}

/* 0: standard input has ended. */
static int obey(modbus_t **ctx, int *listener, int port, fd_set *open, int *highest) {
    char line[200];
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    if (strstr(line, "stop") && *listener != -1) {
        for (int s = 3; s <= *highest; s++)
            if (FD_ISSET(s, open)) close(s);
        FD_ZERO(open);
        FD_SET(STDIN_FILENO, open);
        *highest = STDIN_FILENO;
        *listener = -1;
    } else if (strstr(line, "start") && *listener == -1) {
        *listener = listen_on(ctx, port);
        FD_SET(*listener, open);
        *highest = *listener;
    }
    printf("{\"done\": true}\n");
    fflush(stdout);
    return 1;
}

static void serve_tcp(modbus_mapping_t *map) {
    modbus_t *ctx = NULL;
    int port = free_port();
    int listener = listen_on(&ctx, port), highest = listener;
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    fd_set open, now;
    FD_ZERO(&open);
    FD_SET(STDIN_FILENO, &open);
    FD_SET(listener, &open);
    ready(port);
    for (;;) {
        now = open;
        if (select(highest + 1, &now, NULL, NULL, NULL) == -1) exit(1);
        if (FD_ISSET(STDIN_FILENO, &now)) {
            if (!obey(&ctx, &listener, port, &open, &highest)) return;
            continue;
        }
        for (int s = 3; s <= highest; s++) {
            if (!FD_ISSET(s, &now)) continue;
            if (s == listener) {
                int client = accept(listener, NULL, NULL);
                if (client == -1 || client >= FD_SETSIZE) continue;
                FD_SET(client, &open);
                if (client > highest) highest = client;
                continue;
            }
            modbus_set_socket(ctx, s);
            int length = modbus_receive(ctx, query);
            if (length > 0) {
                answer(ctx, map, query, length);
            } else if (length == -1) {
                close(s);
                FD_CLR(s, &open);
            }
        }
    }
}

static void serve_rtu(modbus_mapping_t *map, const char *device, int unit) {
    modbus_t *ctx = modbus_new_rtu(device, 9600, 'N', 8, 1);
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    if (ctx == NULL || modbus_set_slave(ctx, unit) == -1 || modbus_connect(ctx) == -1) {
        fprintf(stderr, "%s: %s\n", device, modbus_strerror(errno));
        exit(1);
    }
    ready(0);
    for (;;) {
        fd_set now;
        int line = modbus_get_socket(ctx);
        FD_ZERO(&now);
        FD_SET(STDIN_FILENO, &now);
        FD_SET(line, &now);
        if (select(line + 1, &now, NULL, NULL, NULL) == -1) exit(1);
        if (FD_ISSET(STDIN_FILENO, &now)) return;
        int length = modbus_receive(ctx, query);
        if (length > 0) answer(ctx, map, query, length);
    }
}

int main(int count, char **words) {
    setvbuf(stdin, NULL, _IONBF, 0);
    modbus_mapping_t *map = oven();
    if (count == 2 && strcmp(words[1], "tcp") == 0) {
        serve_tcp(map);
    } else if (count == 4 && strcmp(words[1], "rtu") == 0) {
        serve_rtu(map, words[2], atoi(words[3]));
    } else {
        fprintf(stderr, "modbus tcp | modbus rtu DEVICE UNIT\n");
        return 2;
    }
    return 0;
}
