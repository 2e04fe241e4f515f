BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE blind_pair (
	round_id INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	image_id INTEGER, 
	old_text VARCHAR NOT NULL, 
	new_text VARCHAR NOT NULL, 
	new_is_left BOOLEAN NOT NULL, 
	answer VARCHAR(4), 
	answered_at VARCHAR, 
	CONSTRAINT pk_blind_pair PRIMARY KEY (round_id, place), 
	CONSTRAINT ck_blind_pair_answer CHECK (answer IN ('old', 'new', 'same')), 
	CONSTRAINT fk_blind_pair_round_id_blind_round FOREIGN KEY(round_id) REFERENCES blind_round (id) ON DELETE CASCADE, 
	CONSTRAINT fk_blind_pair_image_id_image FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE SET NULL
)
 WITHOUT ROWID

;
INSERT INTO "blind_pair" VALUES(1,0,2,'a kite','two kites',0,'old','2026-11-22T03:31:19.887+00:00');
INSERT INTO "blind_pair" VALUES(1,1,3,'a sea','a grey sea',0,NULL,NULL);
CREATE TABLE blind_round (
	id INTEGER NOT NULL, 
	old_model VARCHAR NOT NULL, 
	new_model VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	ended_at VARCHAR, 
	CONSTRAINT pk_blind_round PRIMARY KEY (id)
);
INSERT INTO "blind_round" VALUES(1,'starter','20261122-033118-2429','2026-11-22T03:31:19.785+00:00',NULL);
CREATE TABLE caption (
	id INTEGER NOT NULL, 
	image_id INTEGER NOT NULL, 
	text VARCHAR NOT NULL, 
	author VARCHAR(8) NOT NULL, 
	run_id VARCHAR, 
	state VARCHAR(10) NOT NULL, 
	is_seed BOOLEAN NOT NULL, 
	live BOOLEAN NOT NULL, 
	supersedes_id INTEGER, 
	created_at VARCHAR NOT NULL, search_text VARCHAR, mean_log_prob DOUBLE, 
	CONSTRAINT pk_caption PRIMARY KEY (id), 
	CONSTRAINT ck_caption_seed CHECK (NOT is_seed OR state = 'accepted'), 
	CONSTRAINT ck_caption_author CHECK (author IN ('human', 'run')), 
	CONSTRAINT ck_caption_state CHECK (state IN ('candidate', 'accepted', 'rejected')), 
	CONSTRAINT fk_caption_image_id_image FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE, 
	CONSTRAINT fk_caption_run_id_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE SET NULL, 
	CONSTRAINT fk_caption_supersedes_id_caption FOREIGN KEY(supersedes_id) REFERENCES caption (id) ON DELETE SET NULL
);
INSERT INTO "caption" VALUES(1,1,'a red kite ☕','human',NULL,'accepted',1,1,NULL,'2026-11-22T03:31:18.702+00:00','a red kite',NULL);
INSERT INTO "caption" VALUES(2,2,'two kites','human',NULL,'accepted',1,1,NULL,'2026-11-22T03:31:18.846+00:00',NULL,NULL);
INSERT INTO "caption" VALUES(3,2,'one','run','20261122-033118-2429','candidate',0,0,NULL,'2026-11-22T03:31:19.050+00:00',NULL,NULL);
INSERT INTO "caption" VALUES(4,2,'two','run','20261122-033118-2429','candidate',0,1,NULL,'2026-11-22T03:31:19.050+00:00',NULL,-0.75);
INSERT INTO "caption" VALUES(5,3,'three','run','20261122-033118-2429','candidate',0,1,NULL,'2026-11-22T03:31:19.050+00:00',NULL,NULL);
INSERT INTO "caption" VALUES(6,2,'one, in my words','human',NULL,'accepted',1,1,3,'2026-11-22T03:31:19.233+00:00',NULL,NULL);
CREATE TABLE "edit" (
	id INTEGER NOT NULL, 
	label VARCHAR NOT NULL, 
	undone BOOLEAN NOT NULL, 
	created_at VARCHAR NOT NULL, 
	kind VARCHAR DEFAULT 'edit' NOT NULL, 
	settings JSON, 
	CONSTRAINT pk_edit PRIMARY KEY (id)
);
INSERT INTO "edit" VALUES(1,'Remove a photo from the library',0,'2026-11-22T03:31:18.391+00:00','remove_photos',NULL);
INSERT INTO "edit" VALUES(2,'Put a photo back into the library',0,'2026-11-22T03:31:18.567+00:00','put_photos_back',NULL);
INSERT INTO "edit" VALUES(3,'Write a caption',0,'2026-11-22T03:31:18.754+00:00','add_seed',NULL);
INSERT INTO "edit" VALUES(4,'Write a caption',0,'2026-11-22T03:31:18.847+00:00','add_seed',NULL);
INSERT INTO "edit" VALUES(5,'Edit a caption',0,'2026-11-22T03:31:19.275+00:00','edit_caption',NULL);
INSERT INTO "edit" VALUES(6,'Reject a caption',1,'2026-11-22T03:31:19.369+00:00','reject',NULL);
CREATE TABLE edit_change (
	edit_id INTEGER NOT NULL, 
	caption_id INTEGER NOT NULL, 
	state_before VARCHAR(10) NOT NULL, 
	is_seed_before BOOLEAN NOT NULL, 
	live_before BOOLEAN NOT NULL, 
	state_after VARCHAR(10) NOT NULL, 
	is_seed_after BOOLEAN NOT NULL, 
	live_after BOOLEAN NOT NULL, 
	CONSTRAINT pk_edit_change PRIMARY KEY (edit_id, caption_id), 
	CONSTRAINT fk_edit_change_edit_id_edit FOREIGN KEY(edit_id) REFERENCES edit (id) ON DELETE CASCADE, 
	CONSTRAINT fk_edit_change_caption_id_caption FOREIGN KEY(caption_id) REFERENCES caption (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "edit_change" VALUES(3,1,'accepted',1,0,'accepted',1,1);
INSERT INTO "edit_change" VALUES(4,2,'accepted',1,0,'accepted',1,1);
INSERT INTO "edit_change" VALUES(5,3,'candidate',0,1,'candidate',0,0);
INSERT INTO "edit_change" VALUES(5,6,'accepted',1,0,'accepted',1,1);
INSERT INTO "edit_change" VALUES(6,5,'candidate',0,1,'rejected',0,1);
CREATE TABLE edit_photo (
	edit_id INTEGER NOT NULL, 
	image_id INTEGER NOT NULL, 
	removed BOOLEAN NOT NULL, 
	CONSTRAINT pk_edit_photo PRIMARY KEY (edit_id, image_id), 
	CONSTRAINT fk_edit_photo_edit_id_edit FOREIGN KEY(edit_id) REFERENCES edit (id) ON DELETE CASCADE, 
	CONSTRAINT fk_edit_photo_image_id_image FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "edit_photo" VALUES(1,1,1);
INSERT INTO "edit_photo" VALUES(2,1,0);
CREATE TABLE folder (
	id INTEGER NOT NULL, 
	path VARCHAR NOT NULL, 
	added_at VARCHAR NOT NULL, 
	CONSTRAINT pk_folder PRIMARY KEY (id), 
	CONSTRAINT uq_folder_path UNIQUE (path)
);
INSERT INTO "folder" VALUES(1,'/photos','2026-11-22T03:31:17.070+00:00');
CREATE TABLE gallery (
	id INTEGER NOT NULL, 
	encoder VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	CONSTRAINT pk_gallery PRIMARY KEY (id)
);
INSERT INTO "gallery" VALUES(1,'eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','v1');
CREATE TABLE image (
	id INTEGER NOT NULL, 
	folder_id INTEGER NOT NULL, 
	relative_path VARCHAR NOT NULL, 
	size INTEGER NOT NULL, 
	mtime_ns INTEGER NOT NULL, 
	content_hash VARCHAR NOT NULL, 
	width INTEGER NOT NULL, 
	height INTEGER NOT NULL, 
	missing_since VARCHAR, 
	error VARCHAR, changed_at VARCHAR, removed_at VARCHAR, 
	CONSTRAINT pk_image PRIMARY KEY (id), 
	CONSTRAINT fk_image_folder_id_folder FOREIGN KEY(folder_id) REFERENCES folder (id) ON DELETE CASCADE, 
	CONSTRAINT uq_image_folder_id_relative_path UNIQUE (folder_id, relative_path)
);
INSERT INTO "image" VALUES(1,1,'00.png',2776,1795318276927801798,'2615cafbfbd38cdd97d7ba49f63ec37fd421aa575ff3a7e76c6e15fae928d9ad',48,36,NULL,NULL,NULL,NULL);
INSERT INTO "image" VALUES(2,1,'01.png',2732,1795318276930492168,'7ed800471446cd19eea2d7c346d364856a2e268f67d4f0cf03a7831b53431f1a',48,36,NULL,NULL,NULL,NULL);
INSERT INTO "image" VALUES(3,1,X'636166E92E706E67',2701,1795318276951801799,'b700c51c7fc392dbc4a3ce11162169470ecea162aa48adcb269d3ce1240415c9',48,36,NULL,NULL,NULL,NULL);
INSERT INTO "image" VALUES(4,1,'03.png',2784,1795318276954669367,'e142ea1418804182ef92ea4a8d4afdd77f2182811f11dc634446040671fe9e6a',48,36,'2026-11-22T03:31:18.102+00:00',NULL,NULL,NULL);
INSERT INTO "image" VALUES(5,1,'empty.jpg',0,1795318277875801820,'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',0,0,NULL,'The file is empty.',NULL,NULL);
CREATE TABLE job (
	id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	params JSON NOT NULL, 
	state VARCHAR NOT NULL, 
	message VARCHAR, 
	created_at VARCHAR NOT NULL, 
	finished_at VARCHAR, 
	CONSTRAINT pk_job PRIMARY KEY (id)
);
INSERT INTO "job" VALUES(1,'caption','{"existing": "add"}','running',NULL,'2026-11-22T03:31:18.904+00:00',NULL);
CREATE TABLE job_item (
	job_id INTEGER NOT NULL, 
	image_id INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	error VARCHAR, 
	attempts INTEGER NOT NULL, 
	CONSTRAINT pk_job_item PRIMARY KEY (job_id, image_id), 
	CONSTRAINT fk_job_item_image_id_image FOREIGN KEY(image_id) REFERENCES image (id) ON DELETE CASCADE, 
	CONSTRAINT fk_job_item_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "job_item" VALUES(1,1,'failed','The picture is damaged.',1);
INSERT INTO "job_item" VALUES(1,2,'done',NULL,1);
INSERT INTO "job_item" VALUES(1,3,'done',NULL,1);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('current_run','20261122-033118-2429');
INSERT INTO "meta" VALUES('shown_gallery','1');
CREATE TABLE run (
	id VARCHAR NOT NULL, 
	preset VARCHAR NOT NULL, 
	config JSON NOT NULL, 
	seed INTEGER NOT NULL, 
	data_hash VARCHAR, 
	encoder_fingerprint VARCHAR, 
	status VARCHAR NOT NULL, 
	metrics JSON NOT NULL, 
	gates JSON NOT NULL, 
	checkpoint_hash VARCHAR, 
	message VARCHAR, 
	created_at VARCHAR NOT NULL, 
	finished_at VARCHAR, 
	CONSTRAINT pk_run PRIMARY KEY (id)
);
INSERT INTO "run" VALUES('20261122-033118-2429','recommended','{"encoder": "starter"}',3,'dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',NULL,'done','{"clip_s": 0.5}','[{"name": "length"}]',NULL,NULL,'2026-11-22T03:31:18.143+00:00','2026-11-22T03:31:18.205+00:00');
CREATE TABLE score (
	gallery_id INTEGER NOT NULL, 
	caption_id INTEGER NOT NULL, 
	clip_s DOUBLE NOT NULL, 
	rank DOUBLE NOT NULL, 
	gallery_size INTEGER NOT NULL, 
	plain_rank DOUBLE, 
	distinctiveness DOUBLE, 
	CONSTRAINT pk_score PRIMARY KEY (gallery_id, caption_id), 
	CONSTRAINT fk_score_gallery_id_gallery FOREIGN KEY(gallery_id) REFERENCES gallery (id) ON DELETE CASCADE, 
	CONSTRAINT fk_score_caption_id_caption FOREIGN KEY(caption_id) REFERENCES caption (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "score" VALUES(1,4,0.5,1.0,3,2.0,0.1);
CREATE TABLE split (
	content_hash VARCHAR NOT NULL, 
	part VARCHAR(8) NOT NULL, 
	decided_at VARCHAR NOT NULL, 
	CONSTRAINT pk_split PRIMARY KEY (content_hash), 
	CONSTRAINT ck_split_part CHECK (part IN ('train', 'held_out'))
);
INSERT INTO "split" VALUES('7ed800471446cd19eea2d7c346d364856a2e268f67d4f0cf03a7831b53431f1a','held_out','2026-11-22T03:31:19.719+00:00');
INSERT INTO "split" VALUES('2615cafbfbd38cdd97d7ba49f63ec37fd421aa575ff3a7e76c6e15fae928d9ad','train','2026-11-22T03:31:19.720+00:00');
CREATE TABLE vector (
	encoder VARCHAR NOT NULL, 
	content_hash VARCHAR NOT NULL, 
	shard INTEGER NOT NULL, 
	"row" INTEGER NOT NULL, group_id INTEGER, 
	CONSTRAINT pk_vector PRIMARY KEY (encoder, content_hash)
)
 WITHOUT ROWID

;
INSERT INTO "vector" VALUES('eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','2615cafbfbd38cdd97d7ba49f63ec37fd421aa575ff3a7e76c6e15fae928d9ad',0,0,0);
CREATE INDEX ix_image_content_hash ON image (content_hash);
CREATE INDEX ix_image_error ON image (id) WHERE error IS NOT NULL;
CREATE INDEX ix_image_missing ON image (content_hash) WHERE missing_since IS NOT NULL;
CREATE INDEX ix_vector_shard ON vector (encoder, shard);
CREATE INDEX ix_caption_image_id ON caption (image_id);
CREATE INDEX ix_caption_image_id_live ON caption (image_id, state, is_seed, live) WHERE live = 1;
CREATE INDEX ix_caption_run_id ON caption (run_id);
CREATE INDEX ix_caption_state_live ON caption (state, image_id, is_seed, live) WHERE live = 1;
CREATE INDEX ix_caption_supersedes_id ON caption (supersedes_id);
CREATE INDEX ix_job_item_image_id ON job_item (image_id);
CREATE INDEX ix_job_item_state ON job_item (job_id, state, image_id);
CREATE INDEX ix_image_mtime_ns ON image (mtime_ns);
CREATE INDEX ix_image_changed ON image (changed_at) WHERE changed_at IS NOT NULL;
CREATE INDEX ix_vector_group ON vector (encoder, group_id, content_hash) WHERE group_id > 0;
CREATE INDEX ix_caption_created_at_live ON caption (created_at, image_id, live) WHERE live = 1;
CREATE INDEX ix_caption_author_live ON caption (author, run_id, image_id, live) WHERE live = 1;
CREATE TRIGGER caption_fts_insert AFTER INSERT ON caption BEGIN INSERT INTO caption_fts(rowid, words) SELECT new.id, coalesce(new.search_text, new.text) WHERE new.live; END;
CREATE TRIGGER caption_fts_delete AFTER DELETE ON caption BEGIN INSERT INTO caption_fts(caption_fts, rowid, words) SELECT 'delete', old.id, coalesce(old.search_text, old.text) WHERE old.live; END;
CREATE TRIGGER caption_fts_update AFTER UPDATE OF live, text, search_text, id ON caption WHEN old.live OR new.live BEGIN INSERT INTO caption_fts(caption_fts, rowid, words) SELECT 'delete', old.id, coalesce(old.search_text, old.text) WHERE old.live; INSERT INTO caption_fts(rowid, words) SELECT new.id, coalesce(new.search_text, new.text) WHERE new.live; END;
CREATE INDEX ix_score_caption_id ON score (caption_id);
CREATE INDEX ix_score_clip_s ON score (gallery_id, clip_s);
CREATE INDEX ix_score_rank ON score (gallery_id, rank);
CREATE INDEX ix_score_distinctiveness ON score (gallery_id, distinctiveness);
CREATE INDEX ix_edit_change_caption_id ON edit_change (caption_id);
CREATE TRIGGER name_fts_insert AFTER INSERT ON image BEGIN INSERT INTO name_fts(rowid, relative_path) VALUES (new.id, new.relative_path); END;
CREATE TRIGGER name_fts_delete AFTER DELETE ON image BEGIN INSERT INTO name_fts(name_fts, rowid, relative_path) VALUES ('delete', old.id, old.relative_path); END;
CREATE TRIGGER name_fts_update AFTER UPDATE OF relative_path, id ON image BEGIN INSERT INTO name_fts(name_fts, rowid, relative_path) VALUES ('delete', old.id, old.relative_path); INSERT INTO name_fts(rowid, relative_path) VALUES (new.id, new.relative_path); END;
CREATE INDEX ix_blind_pair_image_id ON blind_pair (image_id);
CREATE INDEX ix_image_live ON image (folder_id, relative_path, missing_since, error, removed_at) WHERE error IS NULL AND missing_since IS NULL AND removed_at IS NULL;
CREATE INDEX ix_image_removed ON image (id) WHERE removed_at IS NOT NULL;
CREATE INDEX ix_edit_photo_image_id ON edit_photo (image_id);
CREATE VIEW caption_words AS SELECT id, coalesce(search_text, text) AS words FROM caption WHERE live;
CREATE VIRTUAL TABLE caption_fts USING fts5(words, content='caption_words', content_rowid='id', columnsize=0, prefix='1 2 3', tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'");
INSERT INTO caption_fts(caption_fts) VALUES ('rebuild');
CREATE VIRTUAL TABLE name_fts USING fts5(relative_path, content='image', content_rowid='id', columnsize=0, detail=none, tokenize='trigram');
INSERT INTO name_fts(name_fts) VALUES ('rebuild');
COMMIT;
