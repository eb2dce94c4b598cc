# Build and run on the same Debian major, so that native packages find the libc they were made for.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev

# No shell, no package manager, no broker: HOMEOSTAT_NATS_URL names one.
FROM gcr.io/distroless/nodejs22-debian12:nonroot
WORKDIR /app
ENV NODE_ENV=production \
    HOMEOSTAT_DATA_DIR=/data \
    HOMEOSTAT_GRPC_ADDRESS=0.0.0.0:50051 \
    HOMEOSTAT_HTTP_ADDRESS=0.0.0.0:8080 \
    HOMEOSTAT_ALLOW_PLAINTEXT=true
COPY --from=build --chown=65532:65532 /app/package.json ./
COPY --from=build --chown=65532:65532 /app/node_modules ./node_modules
COPY --from=build --chown=65532:65532 /app/dist ./dist
COPY --chown=65532:65532 proto ./proto
USER 65532:65532
VOLUME /data
EXPOSE 50051 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/nodejs/bin/node", "dist/cli/main.js", "doctor", "--probe"]
ENTRYPOINT ["/nodejs/bin/node", "dist/cli/main.js"]
CMD ["serve"]
