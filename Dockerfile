# The image of the platform itself: `helvetia web` and `helvetia worker`, see compose.yaml.
# Services are built elsewhere: in containers of the Docker engine, by the plugin builder-docker.
FROM python:3.12.8-slim-bookworm

RUN apt-get update \
 && apt-get install -y --no-install-recommends git openssh-client \
 && rm -rf /var/lib/apt/lists/*

COPY . /opt/helvetia
RUN pip install --no-cache-dir /opt/helvetia && rm -rf /opt/helvetia

ENV HELVETIA_HOME=/var/lib/helvetia PYTHONUNBUFFERED=1
VOLUME /var/lib/helvetia
# As root: who may talk to the Docker engine is root on its host anyway.
ENTRYPOINT ["helvetia"]
CMD ["web"]
