# The chapter's notebooks in JupyterLab; docs/install.md says how to use it.
FROM debian:bookworm-slim AS system
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates git make python3 python3-venv \
        libgomp1 libquadmath0 fonts-wqy-zenhei && \
    rm -rf /var/lib/apt/lists/*
# Jupyter refuses to run as root.
RUN useradd --create-home --shell /bin/bash reader
USER reader

FROM system
# For a mirror: docker build --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
RUN mkdir /home/reader/gluon_mlp
WORKDIR /home/reader/gluon_mlp
COPY --chown=reader . .
RUN PIP_NO_CACHE_DIR=1 make env
ENV PATH=/home/reader/gluon_mlp/.venv/bin:$PATH
EXPOSE 8888
CMD ["make", "lab", "LAB=--ip=0.0.0.0 --no-browser"]
